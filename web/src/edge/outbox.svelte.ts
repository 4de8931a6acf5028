// The queue of this phone as the pages use it: every entry is written to the phone's storage first, then sent, and sent
// again with the same key until the box has answered. Never says "stored" before the box did.
import { newKey, type Problem, problemOf, send as sendJson } from "../shared/api";
import type { Loaded } from "../shared/load.svelte";
import { live, on } from "../shared/live.svelte";
import { toast } from "../shared/toast.svelte";
import { upload } from "../shared/upload";
import { bytes } from "../shared/format";
import { entryStore } from "./keep";
import { type Answer, ENTRIES_MAX, type Entry, FILES_BYTES_MAX, NotKept, Queue, type Refusal, type Result, type Who } from "./queue";
import { asPerson, mayAct, signedOutByBox, whoIsIt } from "./session.svelte";
import { uuid5 } from "./uuid5";

const RETRY_MS = 5000;
/** Longest wait of a button for the box; then the entry goes on in the background. */
const ANSWER_MS = 4000;
const OLD_STORE = "chatterfix.outbox";

const state = $state<{ list: Entry[]; ready: boolean; share: Record<string, number> }>({ list: [], ready: false, share: {} });
const stored = new Set<(record: string, answer: unknown) => void>();
const waiting = new Map<string, (result: Result) => void>();

const queue = new Queue(entryStore, { opens: mayAct, send });
queue.changed = () => (state.list = queue.entries);
queue.settled = settled;
/** Other pages of this phone share the queue. */
const others = "BroadcastChannel" in globalThis ? new BroadcastChannel("chatterfix-queue") : null;

export function kept(): Entry[] {
  return state.list;
}
export function keptOf(record: string): Entry[] {
  return state.list.filter((entry) => entry.record === record);
}
export function isBlocked(entry: Entry): boolean {
  return queue.blocked(entry);
}
/** How much of a file is on its way, 0 to 1. */
export function shareOf(key: string): number {
  return state.share[key] ?? 0;
}
export function fileOf(key: string): Promise<Blob | null> {
  return entryStore.file(key);
}
export async function forget(key: string): Promise<void> {
  await queue.forget(key);
  others?.postMessage(null);
}
/** Called when something of a record has been stored, with what the box answered; give back to `$effect` to stop. */
export function whenStored(callback: (record: string, answer: unknown) => void): () => void {
  stored.add(callback);
  return () => stored.delete(callback);
}

/** What the box answered takes the place of the row in a list that is shown. */
export function replaceIn<T extends { id: string }>(rows: Loaded<T[]>, answer: unknown): void {
  const id = (answer as { id?: unknown } | null)?.id;
  if (rows.value?.some((row) => row.id === id)) rows.set(rows.value.map((row) => (row.id === id ? { ...row, ...(answer as T) } : row)));
}

export type Outcome<T> = { stored: T } | "kept" | null;
export interface ActOptions {
  file?: File | Blob & { name?: string };
  /** The action makes this record: its id follows from the key. */
  makes?: string;
  /** Says nothing when all went well: the caller shows it. */
  quiet?: boolean;
}

/** Does one thing in the person's name: stored by the box, kept on the phone while it does not answer, or refused (null). */
export async function act<T>(record: string, path: string, body: Record<string, unknown>, words: string, options: ActOptions = {}): Promise<Outcome<T>> {
  const who = await whoIsIt();
  if (who === null) return null;
  const key = newKey();
  const { file } = options;
  const made = {
    key,
    who: { id: who.id, name: who.name },
    record: options.makes ? uuid5(key, options.makes) : record,
    needs: makerOf(record),
    path,
    body: { by: who.name, ...body },
    file: file ? { name: file.name ?? "photo", type: file.type, bytes: file.size } : null,
    words,
    at: new Date().toISOString(),
  };
  try {
    await queue.add(made, file);
  } catch (error) {
    return notKept(words, error);
  }
  others?.postMessage(null);
  const result = await answered(key, file ? 60_000 : ANSWER_MS);
  if (result.kind === "stored") {
    if (!options.quiet) toast(`${words}: stored on the box`, leftBehind(result.value));
    return { stored: result.value as T };
  }
  if (result.kind === "refused") {
    // The person is still here: it is told now, and nothing stays behind.
    await forget(key);
    toast(`${words}: not stored. ${result.refusal.title}`, result.refusal.detail, "bad");
    return null;
  }
  if (!options.quiet) toast(`${words}: kept on this phone`, "It is not on the box yet. It is sent as soon as the box answers.");
  return "kept";
}

/** The entry that makes a record, while it waits. */
function makerOf(record: string): string | null {
  return state.list.find((entry) => entry.record === record && MAKES.test(entry.path))?.key ?? null;
}
const MAKES = /^\/(work-orders|assets)$/;

/** Sends what waits and gives the result for one entry, or that it still waits. */
function answered(key: string, wait_ms: number): Promise<Result> {
  return new Promise((resolve) => {
    const end = (result: Result) => {
      clearTimeout(timer);
      waiting.delete(key);
      resolve(result);
    };
    const timer = setTimeout(() => end({ kind: "waits" }), wait_ms);
    waiting.set(key, end);
    void flush().then(() => waiting.has(key) && end({ kind: "waits" }));
  });
}

/** Whoever begins on an order is told where their clock stopped. */
function leftBehind(answer: unknown): string | undefined {
  const stopped = (answer as { clocks_stopped?: string[] } | null)?.clocks_stopped ?? [];
  return stopped.length > 0 ? `Your clock on ${stopped.join(", ")} was stopped.` : undefined;
}

function notKept(words: string, error: unknown): null {
  const why = error instanceof NotKept ? error.why : "storage";
  const detail = {
    entries: `${ENTRIES_MAX} entries wait already. Bring the phone near the box so that they are sent.`,
    files: `Photos and files of ${bytes(FILES_BYTES_MAX)} wait already. Bring the phone near the box so that they are sent.`,
    storage: "The storage of this phone is full or closed to this page. Make room on the phone, then press again; nothing was kept.",
  }[why];
  toast(`${words}: not kept on this phone`, detail, "bad");
  return null;
}

function settled(entry: Entry, result: Result): void {
  const { [entry.key]: _, ...rest } = state.share;
  state.share = rest;
  others?.postMessage(null);
  const here = waiting.get(entry.key);
  here?.(result);
  if (result.kind === "stored") {
    if (!here) toast(`${entry.words}: stored on the box`, leftBehind(result.value) ?? "It had been kept on this phone.");
    for (const callback of stored) callback(entry.record, result.value);
  } else if (result.kind === "refused" && !here) {
    toast(`${entry.words}: the box did not take it`, `${result.refusal.title}. It stays under More until somebody decides.`, "bad");
  }
}

async function send(entry: Entry, file: Blob | null): Promise<Answer> {
  try {
    const value = file ? await sendFile(entry, file) : await sendJson("POST", entry.path, { ...entry.body, ...since(entry) }, entry.key, asPerson(entry.who));
    return { kind: "stored", value };
  } catch (error) {
    return answerOf(entry.who, problemOf(error));
  }
}

/** How long ago it was done, by the clock of this phone, where the box takes the time of what waited. */
function since(entry: Entry): { ago_s?: number } {
  const ago_s = Math.round((Date.now() - Date.parse(entry.at)) / 1000);
  return ago_s >= WAITED_S && TIMED.test(entry.path) ? { ago_s: Math.min(ago_s, AGO_S_MAX) } : {};
}
/** Shorter waits are the way itself. */
const WAITED_S = 5;
const AGO_S_MAX = 31 * 24 * 3600;
const TIMED = /^\/(alerts|alarms|maintenance|work-orders|stock|assets)(\/|$)/;

function sendFile(entry: Entry, file: Blob): Promise<unknown> {
  const query = Object.fromEntries(Object.entries(entry.body).map(([name, value]) => [name, String(value)]));
  return upload(entry.path, query, file, (share) => (state.share = { ...state.share, [entry.key]: share }), asPerson(entry.who)).done;
}

function answerOf(who: Who, problem: Problem): Answer {
  if (problem.unreachable) return { kind: "away" };
  if (problem.status === 401) {
    signedOutByBox(who);
    return { kind: "later" };
  }
  if (problem.retryable || problem.retryAfterS !== null) return { kind: "later" };
  const { code, title, detail } = problem;
  const refusal: Refusal = { code, title, detail, at: new Date().toISOString() };
  return { kind: "refused", refusal };
}

/** Sends what waits. Two pages of one phone take turns, where the browser can. */
export async function flush(): Promise<void> {
  if (!state.ready || !queue.entries.some((entry) => entry.refused === null)) return;
  if (navigator.locks) await navigator.locks.request("chatterfix-queue", () => queue.run());
  else await queue.run();
}

export async function tryAgain(key: string): Promise<void> {
  await queue.retry(key);
}

/** A refused entry becomes a note on its record: what was done is a fact, even when its state came too late. */
export async function asNote(entry: Entry): Promise<void> {
  const base = /^\/(alerts|work-orders)\/[^/]+/.exec(entry.path)?.[0];
  if (!base) return;
  const outcome = await act(entry.record, `${base}/actions/comment`, { text: noteOf(entry) }, "Note");
  if (outcome !== null) await forget(entry.key);
}
export function canBeNote(entry: Entry): boolean {
  return /^\/(alerts|work-orders)\/[^/]+\/actions\//.test(entry.path) && entry.needs === null;
}
function noteOf(entry: Entry): string {
  const details = Object.entries(entry.body).filter(([name, value]) => name !== "by" && typeof value !== "object");
  const said = details.map(([name, value]) => `${name.replaceAll("_", " ")}: ${String(value)}`).join("; ");
  return `${entry.words} by ${entry.who.name} on ${new Date(entry.at).toLocaleString("en-GB")}${said ? ` (${said})` : ""}`;
}

/** What an older page of this program kept in another place. */
async function takeOver(): Promise<void> {
  const old = localStorage.getItem(OLD_STORE);
  if (old === null) return;
  const list = JSON.parse(old) as { key: string; record: string; path: string; body: Record<string, unknown>; words: string; at: string }[];
  for (const { key, record, path, body, words, at } of list) {
    const who = { id: null, name: String(body.by ?? "") };
    await queue.add({ key, who, record, needs: null, path, body, file: null, words, at });
  }
  localStorage.removeItem(OLD_STORE);
}

export async function startQueue(): Promise<void> {
  try {
    await queue.load();
    await takeOver();
  } catch (error) {
    console.warn("the storage of this phone cannot be read", error);
    toast("This phone keeps nothing for this page", "Its storage is closed (a private window?). What you press counts only when the box answers.", "bad");
  }
  state.ready = true;
  others?.addEventListener("message", () => void queue.load());
  on("again", () => void flush());
  setInterval(() => void flush(), RETRY_MS);
  window.addEventListener("online", () => void flush());
  // The browser may otherwise clear what waits when the phone runs full.
  void navigator.storage?.persist?.().catch(() => false);
  if (live.connected || queue.entries.length > 0) void flush();
}

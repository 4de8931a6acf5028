// What was pressed on this phone and the box has not stored yet. Kept in the phone's storage, sent again with the same
// key until the box answers, so that nothing is entered twice and nothing is lost when the phone leaves the network.
import { newKey, post, Problem, problemOf } from "../shared/api";
import { on } from "../shared/live.svelte";
import { toast } from "../shared/toast.svelte";
import { whoIsIt } from "./person.svelte";

export interface Kept {
  key: string;
  /** The record it is about, or "" for a new one. */
  record: string;
  path: string;
  body: Record<string, unknown>;
  words: string;
  at: string;
  /** What the box said when it refused it; such an entry waits for a person. */
  refused: string | null;
}

const STORE = "chatterfix.outbox";
const KEPT_MAX = 200;
const RETRY_MS = 5000;

const state = $state<{ list: Kept[]; busy: boolean }>({ list: load(), busy: false });
let stored: (record: string) => void = () => {};

function load(): Kept[] {
  try {
    return JSON.parse(localStorage.getItem(STORE) ?? "[]") as Kept[];
  } catch {
    return [];
  }
}
function save(list: Kept[]): void {
  state.list = list;
  localStorage.setItem(STORE, JSON.stringify(list));
}

export function kept(): Kept[] {
  return state.list;
}
export function keptOf(record: string): Kept[] {
  return state.list.filter((entry) => entry.record === record);
}
export function forget(key: string): void {
  save(state.list.filter((entry) => entry.key !== key));
}
/** Called when something kept has been stored by the box. */
export function whenStored(callback: (record: string) => void): void {
  stored = callback;
}

export type Outcome<T> = { stored: T } | "kept" | null;

/** Does one thing in the person's name: stored by the box, kept on the phone when it does not answer, or refused (null). */
export async function act<T>(record: string, path: string, body: Record<string, unknown>, words: string): Promise<Outcome<T>> {
  const by = await whoIsIt();
  if (by === null) return null;
  const entry: Kept = { key: newKey(), record, path, body: { by, ...body }, words, at: new Date().toISOString(), refused: null };
  // Order matters: behind something that waits, this waits too.
  if (keptOf(record).some((other) => other.refused === null)) return keep(entry);
  try {
    const answer = await post<T>(path, entry.body, { key: entry.key });
    toast(`${words}: stored on the box`);
    return { stored: answer };
  } catch (error) {
    const problem = problemOf(error);
    if (problem.unreachable) return keep(entry);
    toast(`${words}: not stored. ${problem.title}`, problem.detail, "bad");
    return null;
  }
}

function keep(entry: Kept): Outcome<never> {
  if (state.list.length >= KEPT_MAX) {
    toast("This phone keeps no more entries", `${KEPT_MAX} wait already. Bring it near the box so that they are sent.`, "bad");
    return null;
  }
  save([...state.list, entry]);
  toast(`${entry.words}: kept on this phone`, "The box does not answer. It is sent as soon as it does.");
  return "kept";
}

/** Sends what waits, oldest first; stops at the first that gets no answer. */
export async function flush(): Promise<void> {
  if (state.busy) return;
  state.busy = true;
  try {
    for (const entry of [...state.list]) {
      if (entry.refused !== null) continue;
      if (!(await sendOne(entry))) break;
    }
  } finally {
    state.busy = false;
  }
}

/** Whether the next one may be tried. */
async function sendOne(entry: Kept): Promise<boolean> {
  try {
    await post(entry.path, entry.body, { key: entry.key });
    forget(entry.key);
    toast(`${entry.words}: stored on the box`, "It had been kept on this phone.");
    stored(entry.record);
    return true;
  } catch (error) {
    const problem = problemOf(error);
    if (problem.retryable || problem.status === 401) return false;
    refuse(entry, problem);
    return true;
  }
}

function refuse(entry: Kept, problem: Problem): void {
  const words = `${problem.title}. ${problem.detail}`.trim();
  save(state.list.map((other) => (other.key === entry.key ? { ...other, refused: words } : other)));
  toast(`${entry.words}: the box did not take it`, `${words} It stays under More.`, "bad");
}

on("again", () => void flush());
setInterval(() => {
  if (state.list.some((entry) => entry.refused === null)) void flush();
}, RETRY_MS);

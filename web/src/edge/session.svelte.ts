// Who holds this phone. Where the box knows the people of its site they sign in with their PIN; else a name is enough, it
// is written beside every entry. The phone remembers who it was, so that work goes on while the box is out of reach.
// Never keeps a PIN.
import { post, problemOf, send } from "../shared/api";
import { on } from "../shared/live.svelte";
import type { Named } from "../shared/types";
import type { Who } from "./queue";

export type Role = "viewer" | "technician" | "planner" | "engineer";
export interface Signed extends Who {
  role: Role | null;
}
interface Answer {
  person: { id: string; name: string; role: Role } | null;
  people: Named[];
  pin_needed: boolean;
  may?: string[];
}
interface Session {
  who: Signed | null;
  people: Named[];
  pinNeeded: boolean;
  may: string[];
}

const KEY = "chatterfix.session";
const OLD_KEY = "chatterfix.person";
const NOBODY: Session = { who: null, people: [], pinNeeded: false, may: [] };

const state = $state<{ session: Session; asking: boolean; out: string[] }>({ session: load(), asking: false, out: [] });
let waiting: ((who: Signed | null) => void)[] = [];

function load(): Session {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "null") as Session | null;
    if (kept) return { ...NOBODY, ...kept };
  } catch {
    // Written by something else; the box is asked anyway.
  }
  const name = localStorage.getItem(OLD_KEY);
  return name ? { ...NOBODY, who: { id: null, name, role: null } } : NOBODY;
}
function set(session: Session): void {
  state.session = session;
  localStorage.setItem(KEY, JSON.stringify(session));
  localStorage.removeItem(OLD_KEY);
}

export function session(): Readonly<Session> {
  return state.session;
}
/** The name of whoever holds this phone, or "". */
export function person(): string {
  return state.session.who?.name ?? "";
}
/** The box knows this person no longer; what waits is sent after the next sign-in. */
export function expired(): boolean {
  const id = state.session.who?.id;
  return state.session.pinNeeded && id !== undefined && id !== null && state.out.includes(id);
}
export function asking(): boolean {
  return state.asking;
}
/** Whether the box would let this person do it; without a list of people everybody may do everything. */
export function may(action: string): boolean {
  return !state.session.pinNeeded || state.session.may.length === 0 || state.session.may.includes(action);
}

/** Whether entries of this person can be sent now. The box keeps a session for each person of a phone. */
export function mayAct(who: Who): boolean {
  const { session, out } = state;
  if (!session.pinNeeded) return true;
  return who.id === null ? who.name === session.who?.name : !out.includes(who.id);
}
/** The header that says for whom an entry is. */
export function asPerson(who: Who): Record<string, string> {
  return who.id !== null && state.session.pinNeeded ? { "X-Person": who.id } : {};
}

/** Who it is, asked for when it is not known; null when the person would not say. */
export function whoIsIt(): Promise<Signed | null> {
  const { who, pinNeeded } = state.session;
  if (who !== null && !(pinNeeded && who.id === null)) return Promise.resolve(who);
  state.asking = true;
  return new Promise((resolve) => waiting.push(resolve));
}

export function askAgain(): void {
  state.asking = true;
}

function answer(who: Signed | null): void {
  state.asking = false;
  for (const resolve of waiting) resolve(who);
  waiting = [];
}
/** Not now. */
export function leave(): void {
  answer(null);
}

/** A name, where the box asks for no PIN. */
export function iAm(name: string): void {
  const known = state.session.people.find((one) => one.name === name);
  set({ ...state.session, who: { id: known?.id ?? null, name, role: null } });
  answer(state.session.who);
}

/** Signs in with a PIN; the problem is the caller's to show. */
export async function signIn(who: Named, pin: string): Promise<void> {
  const signed = await post<Answer>("/session", { person: who.id, pin });
  state.out = state.out.filter((id) => id !== who.id);
  // An earlier sign-out that the box has not heard of must not end this session.
  if (localStorage.getItem(SIGN_OUT_KEY) === who.id) localStorage.removeItem(SIGN_OUT_KEY);
  take(signed);
  answer(state.session.who);
}

/** Nobody holds this phone any more. What waits stays, bound to whoever entered it. */
export async function signOut(): Promise<void> {
  const { who, pinNeeded } = state.session;
  set({ ...state.session, who: null, may: [] });
  if (!pinNeeded || who === null || who.id === null) return;
  state.out = [...state.out, who.id];
  // Without the box the phone forgets the person, and the box is told when it answers again.
  if (!(await closed(who.id)) && state.out.includes(who.id)) localStorage.setItem(SIGN_OUT_KEY, who.id);
}
const SIGN_OUT_KEY = "chatterfix.sign-out";

async function closed(id: string): Promise<boolean> {
  try {
    await send("DELETE", "/session", undefined, undefined, { "X-Person": id });
    return true;
  } catch (error) {
    return !problemOf(error).unreachable;
  }
}

function take(answer: Answer): void {
  const { person, people, pin_needed, may = [] } = answer;
  const before = state.session.who;
  if (!pin_needed) return set({ ...state.session, people, pinNeeded: false, may: [] });
  if (person !== null) return set({ who: person, people, pinNeeded: true, may });
  // A session that ended is told, not passed over: what waits is still this person's.
  if (before !== null && before.id !== null) {
    if (!state.out.includes(before.id)) state.out = [...state.out, before.id];
    return set({ ...state.session, people, pinNeeded: true });
  }
  set({ who: null, people, pinNeeded: true, may: [] });
}

/** The box has just refused an entry of this person for want of a session. */
export function signedOutByBox(who: Who): void {
  if (who.id !== null && !state.out.includes(who.id)) state.out = [...state.out, who.id];
  void refreshSession();
}

export async function refreshSession(): Promise<void> {
  try {
    const left = localStorage.getItem(SIGN_OUT_KEY);
    if (left !== null && (await closed(left))) localStorage.removeItem(SIGN_OUT_KEY);
    const { who } = state.session;
    take(await send<Answer>("GET", "/session", undefined, undefined, who?.id ? { "X-Person": who.id } : {}));
  } catch (error) {
    // A box of an older build has no sessions: a name is enough there, as it was.
    if ([404, 405].includes(problemOf(error).status)) set({ ...state.session, pinNeeded: false, may: [] });
  }
}

export function startSession(): () => void {
  void refreshSession();
  const stop = on("again", () => void refreshSession());
  const seen = () => document.visibilityState === "visible" && void refreshSession();
  document.addEventListener("visibilitychange", seen);
  return () => {
    stop();
    document.removeEventListener("visibilitychange", seen);
  };
}

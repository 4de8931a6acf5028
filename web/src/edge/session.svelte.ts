// Who holds this phone. Where the box knows the people of its site they sign in with their PIN; else a name is enough, it
// is written beside every entry. The phone remembers who it was, so that work goes on while the box is out of reach.
// Never keeps a PIN.
import { get, post, problemOf, remove } from "../shared/api";
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

const state = $state<{ session: Session; asking: boolean; expired: boolean }>({ session: load(), asking: false, expired: false });
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
  return state.expired;
}
export function asking(): boolean {
  return state.asking;
}
/** Whether the box would let this person do it; without a list of people everybody may do everything. */
export function may(action: string): boolean {
  return !state.session.pinNeeded || state.session.may.length === 0 || state.session.may.includes(action);
}

/** Whether entries of this person can be sent now. */
export function mayAct(who: Who): boolean {
  const { session } = state;
  if (!session.pinNeeded) return true;
  if (state.expired || session.who === null) return false;
  return who.id === null ? who.name === session.who.name : who.id === session.who.id;
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
  take(signed);
  if (state.session.who === null) await refreshSession();
  answer(state.session.who);
}

/** Nobody holds this phone any more. What waits stays, bound to whoever entered it. */
export async function signOut(): Promise<void> {
  // Without the box the phone forgets the person, and the box is told when it answers again.
  const { session } = state;
  set({ ...session, who: null, may: [] });
  if (!session.pinNeeded) return;
  try {
    await remove("/session");
  } catch (error) {
    if (problemOf(error).unreachable) localStorage.setItem(SIGN_OUT_KEY, "1");
  }
}
const SIGN_OUT_KEY = "chatterfix.sign-out";

function take(signed: Answer): void {
  const { person, people, pin_needed, may = [] } = signed;
  state.expired = false;
  if (pin_needed) {
    const before = state.session.who;
    // A session that ended is told, not passed over: the phone goes on in the person's name, the box will ask again.
    if (person === null && before !== null && before.id !== null) {
      state.expired = true;
      set({ ...state.session, people, pinNeeded: true });
      return;
    }
    set({ who: person, people, pinNeeded: true, may });
  } else set({ ...state.session, people, pinNeeded: false, may: [] });
}

/** The box has just refused an entry for want of a session. */
export function signedOutByBox(): void {
  if (state.session.pinNeeded) state.expired = true;
  void refreshSession();
}

export async function refreshSession(): Promise<void> {
  try {
    if (localStorage.getItem(SIGN_OUT_KEY) !== null) {
      await remove("/session");
      localStorage.removeItem(SIGN_OUT_KEY);
    }
    take(await get<Answer>("/session"));
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

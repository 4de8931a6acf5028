// Who is signed in at the hub, and what that person may do.
import { get, post, problemOf, remove, setCsrf, whenSignedOut } from "../shared/api";
import type { Problem } from "../shared/api";
import { on, startLive, stopLive } from "../shared/live.svelte";
import type { Session, User } from "../shared/types";

const EVENTS = ["reading", "alert", "alarm", "maintenance", "work_order", "gateway"];
const RETRY_MS = 5000;

const state = $state<{ known: boolean; user: User | null; problem: Problem | null; ended: boolean }>({
  known: false,
  user: null,
  problem: null,
  ended: false,
});

export const session: Readonly<typeof state> = state;

export function mayChange(): boolean {
  return state.user !== null && state.user.role !== "viewer";
}

function begin(answer: Session): void {
  setCsrf(answer.csrf);
  state.user = answer.user;
  state.known = true;
  state.problem = null;
  state.ended = false;
  startLive(EVENTS);
}

function end(ended: boolean): void {
  setCsrf(null);
  stopLive();
  state.user = null;
  state.known = true;
  state.ended = ended;
}

// The stream is refused when the session is over; the other reasons pass by themselves.
on("closed", () => {
  get<Session>("/session").catch((error: unknown) => {
    if (state.user !== null && problemOf(error).status === 401) end(true);
  });
});

/** Asks who this browser is; not being signed in is an answer, no answer is tried again. */
export async function startSession(): Promise<void> {
  whenSignedOut(() => end(true));
  try {
    begin(await get<Session>("/session"));
  } catch (error) {
    const problem = problemOf(error);
    if (problem.status === 401) return end(false);
    state.problem = problem;
    setTimeout(() => void startSession(), RETRY_MS);
  }
}

/** Throws a Problem when name or password are wrong. */
export async function signIn(name: string, password: string): Promise<void> {
  begin(await post<Session>("/session", { name, password }));
}

export async function signOut(): Promise<void> {
  await remove("/session").catch(() => {});
  end(false);
}

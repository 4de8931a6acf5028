// One thing read from the server and its states: loading, here, failed with nothing, here but stale.
import { type Problem, problemOf } from "./api";

const RETRY_MS = 5000;
/** With no answer for this long, what was known last is shown, with its time. */
const RECALL_MS = 700;

/** Keeps the last answers on the device, where a page has such a place. */
export interface Memory {
  recall(name: string): Promise<{ value: unknown; at: number } | null>;
  keep(name: string, value: unknown): Promise<void>;
}
let memory: Memory | null = null;
/** From now on everything that is read under a name is kept there. */
export function rememberIn(place: Memory): void {
  memory = place;
}

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  loading = $state(false);
  /** ms of this device when the value was read. */
  readAt = $state<number | null>(null);

  /** The value is what an earlier visit read; the server has not answered this one yet. */
  remembered = $state(false);

  #read: () => Promise<T>;
  #name: string | null;
  #turn = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /** `name`: under which the answer is remembered, where the page has a memory. */
  constructor(read: () => Promise<T>, name: string | null = null) {
    this.#read = read;
    this.#name = name;
  }

  /** Reads anew; an older answer that comes late is dropped. Retries by itself while the server is away. */
  async refresh(): Promise<void> {
    const turn = ++this.#turn;
    clearTimeout(this.#retry);
    this.loading = true;
    const slow = setTimeout(() => void this.#recall(turn), RECALL_MS);
    try {
      const value = await this.#read();
      if (turn !== this.#turn) return;
      this.value = value;
      this.problem = null;
      this.remembered = false;
      this.readAt = Date.now();
      if (memory && this.#name) void memory.keep(this.#name, value);
    } catch (error) {
      if (turn !== this.#turn) return;
      const problem = problemOf(error);
      if (problem.unreachable) await this.#recall(turn);
      if (turn !== this.#turn) return;
      this.problem = problem;
      if (this.problem.retryable) this.#retry = setTimeout(() => void this.refresh(), RETRY_MS);
    } finally {
      clearTimeout(slow);
    }
    this.loading = false;
  }

  /** Shows what was known last, when nothing is shown yet. */
  async #recall(turn: number): Promise<void> {
    if (this.value !== null || !memory || !this.#name) return;
    const known = await memory.recall(this.#name);
    if (turn !== this.#turn || this.value !== null || known === null) return;
    this.value = known.value as T;
    this.readAt = known.at;
    this.remembered = true;
  }

  /** Puts what an action answered, without asking again; a read that is under way is older and is dropped. */
  set(value: T): void {
    this.#turn += 1;
    clearTimeout(this.#retry);
    this.value = value;
    this.problem = null;
    this.loading = false;
    this.remembered = false;
    this.readAt = Date.now();
    if (memory && this.#name) void memory.keep(this.#name, value);
  }

  /** Nothing is shown or asked any more. */
  stop(): void {
    this.#turn += 1;
    clearTimeout(this.#retry);
  }
}

/** Runs `action` at most once per `wait_ms`, at the end: many events, one reading. */
export function calmly(action: () => void, wait_ms = 400): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      action();
    }, wait_ms);
  };
}

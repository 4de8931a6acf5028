// One thing read from the server and its states: loading, here, failed with nothing, here but stale.
import { type Problem, problemOf } from "./api";

const RETRY_MS = 5000;

export class Loaded<T> {
  value = $state.raw<T | null>(null);
  problem = $state.raw<Problem | null>(null);
  loading = $state(false);
  /** ms of this device when the value was read. */
  readAt = $state<number | null>(null);

  #read: () => Promise<T>;
  #turn = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(read: () => Promise<T>) {
    this.#read = read;
  }

  /** Reads anew; an older answer that comes late is dropped. Retries by itself while the server is away. */
  async refresh(): Promise<void> {
    const turn = ++this.#turn;
    clearTimeout(this.#retry);
    this.loading = true;
    try {
      const value = await this.#read();
      if (turn !== this.#turn) return;
      this.value = value;
      this.problem = null;
      this.readAt = Date.now();
    } catch (error) {
      if (turn !== this.#turn) return;
      this.problem = problemOf(error);
      if (this.problem.retryable) this.#retry = setTimeout(() => void this.refresh(), RETRY_MS);
    }
    this.loading = false;
  }

  /** Puts what an action answered, without asking again; a read that is under way is older and is dropped. */
  set(value: T): void {
    this.#turn += 1;
    clearTimeout(this.#retry);
    this.value = value;
    this.problem = null;
    this.loading = false;
    this.readAt = Date.now();
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

// The server-sent events of /stream: one connection per page, handed to whoever listens, and whether it lives.

type Handler = (data: unknown) => void;
/** The browser gives up on some answers (a proxy's 502, a signed-out 401); then this page tries again itself. */
const RETRY_MS = 4000;

const state = $state<{ connected: boolean; lostAt: number | null; everConnected: boolean }>({
  connected: false,
  lostAt: null,
  everConnected: false,
});
const handlers = new Map<string, Set<Handler>>();
let source: EventSource | null = null;
let retry: ReturnType<typeof setTimeout> | undefined;

/** Whether changes arrive by themselves; `lostAt` in ms of this device. */
export const live: Readonly<typeof state> = state;

/** Opens the stream; `kinds` are the event names that the server may send. */
export function startLive(kinds: string[]): void {
  stopLive();
  const opened = new EventSource("/api/v1/stream");
  source = opened;
  opened.onopen = () => {
    const again = state.everConnected;
    state.connected = true;
    state.everConnected = true;
    state.lostAt = null;
    // What happened while the stream was away did not reach this page: everybody reads anew.
    if (again) emit("again", null);
  };
  opened.onerror = () => {
    state.connected = false;
    state.lostAt ??= Date.now();
    if (opened.readyState === EventSource.CLOSED) {
      emit("closed", null);
      clearTimeout(retry);
      retry = setTimeout(() => startLive(kinds), RETRY_MS);
    }
  };
  // The server says that this page was too slow for some changes.
  opened.addEventListener("reset", () => emit("again", null));
  for (const kind of kinds) {
    opened.addEventListener(kind, (event) => {
      try {
        emit(kind, JSON.parse((event as MessageEvent<string>).data));
      } catch (error) {
        console.warn(`an event "${kind}" of the stream cannot be read`, error);
      }
    });
  }
}

export function stopLive(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
  state.connected = false;
}

function emit(kind: string, data: unknown): void {
  for (const handler of handlers.get(kind) ?? []) handler(data);
}

/** Listens to one kind ("again": read everything anew, "closed": the server refuses the stream); give the answer back to `$effect` to stop. */
export function on<T>(kind: string, handler: (data: T) => void): () => void {
  const set = handlers.get(kind) ?? new Set<Handler>();
  handlers.set(kind, set);
  set.add(handler as Handler);
  return () => set.delete(handler as Handler);
}

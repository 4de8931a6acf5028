// The time of the server as this page knows it, ticking, so that ages stay true on a phone with a wrong clock.

const TICK_MS = 1000;
/** Smaller differences are the resolution of the HTTP Date header, not a wrong clock. */
const OFFSET_IGNORED_MS = 3000;

let offsetMs = 0;
const state = $state({ now: Date.now() });

setInterval(() => {
  state.now = Date.now() + offsetMs;
}, TICK_MS);

/** Now in ms, reactive once per second. */
export function now(): number {
  return state.now;
}

/** Now in ms, exact, not reactive. */
export function nowExact(): number {
  return Date.now() + offsetMs;
}

/** Learns the server's time from a header or a field. */
export function noteServerDate(date: string | null): void {
  const server = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(server)) return;
  const difference = server - Date.now();
  const next = Math.abs(difference) > OFFSET_IGNORED_MS ? difference : 0;
  if (Math.abs(next - offsetMs) > OFFSET_IGNORED_MS) {
    offsetMs = next;
    state.now = Date.now() + offsetMs;
  }
}

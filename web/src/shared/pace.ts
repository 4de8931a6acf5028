// Reading again at a pace, only while somebody is there: a forgotten tab neither loads the server nor keeps a session alive.

const THERE_MS = 10 * 60_000;
let seenAt = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
  window.addEventListener(kind, () => (seenAt = Date.now()), { passive: true });
}

/** Whether the page is seen and was used lately. */
export function somebodyIsThere(): boolean {
  return document.visibilityState === "visible" && Date.now() - seenAt < THERE_MS;
}

/** Runs `action` every `pace_ms` while somebody is there; the answer stops it. */
export function every(pace_ms: number, action: () => void): () => void {
  const timer = setInterval(() => somebodyIsThere() && action(), pace_ms);
  return () => clearInterval(timer);
}

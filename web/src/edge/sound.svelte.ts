// Sound of this phone for alerts nobody has acknowledged: a pattern for critical, another for high, made by the browser, no
// file. Remembered per phone, off until somebody switches it on (browsers let a page sound only after a press). Stops when
// the alert is acknowledged, anywhere. Never sounds for what is held back.
import { list } from "../shared/api";
import { calmly } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import type { Alert, Severity } from "../shared/types";

const KEY = "chatterfix.sound";
const AWAKE_KEY = "chatterfix.awake";
const EVERY_MS = 6000;

type Note = [at_s: number, hertz: number, length_s: number];
/** Three quick high tones twice; two slow falling ones. Told apart with eyes shut and over machines. */
const PATTERNS: Partial<Record<Severity, Note[]>> = {
  critical: [0, 0.2, 0.4, 0.9, 1.1, 1.3].map((at): Note => [at, 988, 0.14]),
  high: [
    [0, 784, 0.35],
    [0.5, 587, 0.5],
  ],
};

interface Sounding {
  id: string;
  severity: Severity;
}
const state = $state<{ wanted: boolean; blocked: boolean; list: Sounding[]; awake: boolean }>({
  wanted: localStorage.getItem(KEY) === "on",
  blocked: false,
  list: [],
  awake: localStorage.getItem(AWAKE_KEY) === "on",
});
let context: AudioContext | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
/** Acknowledged on this phone; the box may not know yet. */
const silenced = new Set<string>();

export function soundWanted(): boolean {
  return state.wanted;
}
/** The browser waits for a press before it lets the page sound. */
export function soundBlocked(): boolean {
  return state.wanted && state.blocked;
}
export function sounding(): Sounding[] {
  return state.list;
}

function play(notes: Note[]): void {
  context ??= new AudioContext();
  void context.resume();
  state.blocked = context.state !== "running";
  const begin = context.currentTime + 0.05;
  for (const [at_s, hertz, length_s] of notes) {
    const tone = context.createOscillator();
    const loudness = context.createGain();
    tone.type = "square";
    tone.frequency.value = hertz;
    // Soft edges, so that a loudspeaker does not crack.
    loudness.gain.setValueAtTime(0, begin + at_s);
    loudness.gain.linearRampToValueAtTime(0.4, begin + at_s + 0.02);
    loudness.gain.setValueAtTime(0.4, begin + at_s + length_s - 0.03);
    loudness.gain.linearRampToValueAtTime(0, begin + at_s + length_s);
    tone.connect(loudness).connect(context.destination);
    tone.start(begin + at_s);
    tone.stop(begin + at_s + length_s);
  }
}

/** One time, for the test button; it is the press that the browser waits for. */
export function testSound(severity: Severity): void {
  const notes = PATTERNS[severity];
  if (notes) play(notes);
}

function turn(): void {
  clearTimeout(timer);
  const worst = state.list.find((one) => one.severity === "critical") ?? state.list[0];
  if (!state.wanted || !worst) return;
  const notes = PATTERNS[worst.severity];
  if (notes) play(notes);
  navigator.vibrate?.(worst.severity === "critical" ? [150, 80, 150, 80, 150] : [400]);
  timer = setTimeout(turn, EVERY_MS);
}

export function wantSound(wanted: boolean): void {
  state.wanted = wanted;
  localStorage.setItem(KEY, wanted ? "on" : "off");
  if (wanted) void look();
  else clearTimeout(timer);
}

/** Acknowledged here: quiet at once, without waiting for the box. */
export function silence(id: string): void {
  silenced.add(id);
  state.list = state.list.filter((one) => one.id !== id);
}

async function look(): Promise<void> {
  if (!state.wanted) return;
  try {
    const { rows } = await list<Alert>("/alerts", { state: "open" }, 400);
    const loud = rows.filter((alert) => alert.state === "active" && PATTERNS[alert.severity] && !alert.shelved && !alert.out_of_service && !alert.suppressed_by && !silenced.has(alert.id));
    const fresh = loud.some((alert) => !state.list.some((one) => one.id === alert.id));
    state.list = loud.map(({ id, severity }) => ({ id, severity }));
    if (fresh) turn();
  } catch {
    // Without the box nothing new is known; what sounds goes on until it is acknowledged here.
  }
}

// The screen of a phone that hangs beside a machine stays on.
let lock: { release(): Promise<void> } | null = null;
export function mayStayAwake(): boolean {
  return "wakeLock" in navigator;
}
export function staysAwake(): boolean {
  return state.awake;
}
export async function stayAwake(wanted: boolean): Promise<void> {
  state.awake = wanted;
  localStorage.setItem(AWAKE_KEY, wanted ? "on" : "off");
  await lockScreen();
}
async function lockScreen(): Promise<void> {
  try {
    if (state.awake && document.visibilityState === "visible") lock = await navigator.wakeLock.request("screen");
    else await lock?.release();
  } catch {
    // A phone that saves its battery says no.
    state.awake = false;
  }
}

export function startSound(): () => void {
  void look();
  if (state.awake && mayStayAwake()) void lockScreen();
  const again = calmly(() => void look());
  const seen = () => state.awake && void lockScreen();
  document.addEventListener("visibilitychange", seen);
  // The first press anywhere lets the page sound.
  const pressed = () => state.blocked && turn();
  document.addEventListener("pointerdown", pressed);
  const stops = [on("alert", again), on("again", again), on("alarm", again)];
  return () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    document.removeEventListener("pointerdown", pressed);
    stops.forEach((stop) => stop());
  };
}

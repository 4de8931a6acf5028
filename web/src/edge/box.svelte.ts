// What this page knows of its box: status, and the words for its link to the hub.
import { get, Problem } from "../shared/api";
import { noteServerDate } from "../shared/clock.svelte";
import { clockTime, counted, roomDays } from "../shared/format";
import { calmly, Loaded } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import type { BoxStatus, Device, Link } from "../shared/types";

const STATUS_MS = 10_000;

export const box = new Loaded<BoxStatus>(async () => {
  const status = await get<BoxStatus | { access_code_needed: true }>("/status");
  if (!("gateway" in status)) {
    wantCode(true);
    throw new Problem(401, { title: "This box asks for its access code", detail: "Enter it to see the box.", code: "access_code" });
  }
  noteServerDate(status.now);
  return status;
}, "status");

const code = $state({ wanted: false });
/** The box asks for its access code before it shows anything. */
export function codeWanted(): boolean {
  return code.wanted;
}
export function wantCode(wanted: boolean): void {
  code.wanted = wanted;
}

export function startBox(): () => void {
  void box.refresh();
  const timer = setInterval(() => void box.refresh(), STATUS_MS);
  const again = calmly(() => void box.refresh());
  const stops = [
    on("alert", again),
    on("work_order", again),
    on("again", () => void box.refresh()),
    on("closed", () => void box.refresh()),
    // The event says how the link is; what waits for it stands in the status.
    on<Partial<Link>>("link", (link) => box.value && box.set({ ...box.value, link: { ...box.value.link, ...link } })),
    on("link", again),
    on<Device>("device", (device) => {
      if (!box.value) return;
      const known = box.value.devices.some((other) => other.name === device.name);
      const devices = box.value.devices.map((other) => (other.name === device.name ? { ...other, ...device } : other));
      box.set({ ...box.value, devices: known ? devices : [...devices, device] });
    }),
  ];
  return () => {
    clearInterval(timer);
    stops.forEach((stop) => stop());
  };
}

/** The link in a headline and a sentence; null when there is nothing to say. */
export function linkWords(link: Link, now: number): { title: string; text: string; tone: "calm" | "warn" | "bad" } {
  const since = link.since ? ` since ${clockTime(link.since, now)}` : "";
  const waits = link.waiting_events > 0 ? `${counted(link.waiting_events, "entry", "entries")} wait${link.waiting_events === 1 ? "s" : ""} to be sent` : "nothing waits to be sent";
  const room = roomDays(link.room_days);
  const keeps = `Everything works and is kept here. ${waits.charAt(0).toUpperCase()}${waits.slice(1)}${room ? `; room for ${room}` : ""}.`;
  switch (link.state) {
    case "connected":
      return { title: "Connected to the hub", text: link.waiting_events > 0 ? `${waits}.` : "", tone: "calm" };
    case "connecting":
      return { title: `Looking for the hub${since}`, text: keeps, tone: "calm" };
    case "offline":
      return { title: `No link to the hub${since}`, text: keeps, tone: "warn" };
    case "refused":
      return { title: `The hub refuses this box${since}`, text: `${link.words ?? "The reason is not known."} ${keeps}`, tone: "bad" };
    case "not_enrolled":
      return { title: "This box belongs to no hub yet", text: `${keeps} To enrol it, run “edge-agent enrol” with a claim token from the hub.`, tone: "calm" };
  }
}

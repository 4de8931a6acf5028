// The time window of a sensor's chart: which range is seen, what was read for it, what the stream added since.
import { get } from "./api";
import { nowExact } from "./clock.svelte";
import { Loaded } from "./load.svelte";
import { on } from "./live.svelte";
import type { Point, Reading, Readings } from "./types";

export const RANGES: [string, number][] = [
  ["15 min", 15 * 60_000],
  ["1 h", 3_600_000],
  ["24 h", 86_400_000],
  ["7 d", 7 * 86_400_000],
  ["30 d", 30 * 86_400_000],
];
const POINTS = 600;
const SPAN_MIN_MS = 5_000;
const SPAN_MAX_MS = 366 * 86_400_000;
/** A live window slides at this pace even when nothing comes. */
const SLIDE_MS = 2_000;
const QUALITY: Record<Reading["quality"], number> = { good: 0, uncertain: 1, bad: 2 };

export class ReadingsWindow {
  span_ms = $state(3_600_000);
  /** End of the window in ms, or null: follows the present. */
  end = $state<number | null>(null);
  to = $state(nowExact());
  added = $state.raw<Point[]>([]);
  readonly loaded: Loaded<Readings>;
  readonly #sensorId: string;

  constructor(sensorId: string) {
    this.#sensorId = sensorId;
    this.loaded = new Loaded(async () => {
      const to = this.end ?? nowExact();
      this.to = to;
      const answer = await get<Readings>(`/sensors/${sensorId}/readings`, {
        from: new Date(to - this.span_ms).toISOString(),
        to: new Date(to).toISOString(),
        points: POINTS,
      });
      const last = answer.points[answer.points.length - 1]?.[0] ?? 0;
      this.added = this.added.filter(([time]) => time > last);
      return answer;
    });
  }

  get from(): number {
    return this.to - this.span_ms;
  }
  get following(): boolean {
    return this.end === null;
  }
  get points(): Point[] {
    const read = this.loaded.value?.points ?? [];
    return this.following ? [...read, ...this.added] : read;
  }

  /** Listens and slides until the answer is called. */
  start(): () => void {
    const offReading = on<Reading>("reading", (reading) => {
      if (reading.sensor_id !== this.#sensorId || !this.following) return;
      const time = Date.parse(reading.time);
      const last = this.points[this.points.length - 1]?.[0] ?? 0;
      if (time <= last) return;
      const value = reading.quality === "bad" ? null : reading.value;
      this.added = [...this.added, [time, value, value, value, QUALITY[reading.quality]]];
      this.to = Math.max(nowExact(), time);
      // As many single readings as buckets: read anew, so that a long look does not grow without end.
      if (this.added.length > POINTS) void this.loaded.refresh();
    });
    const offAgain = on("again", () => void this.loaded.refresh());
    const slide = setInterval(() => {
      if (this.following) this.to = nowExact();
    }, SLIDE_MS);
    void this.loaded.refresh();
    return () => {
      offReading();
      offAgain();
      clearInterval(slide);
      this.loaded.stop();
    };
  }

  /** The last `span_ms`, following the present. */
  follow(span_ms: number): void {
    this.span_ms = span_ms;
    this.end = null;
    this.added = [];
    void this.loaded.refresh();
  }

  /** A range of the past, e.g. from a drag over the chart. */
  look(from: number, to: number): void {
    const span = Math.min(SPAN_MAX_MS, Math.max(SPAN_MIN_MS, to - from));
    this.span_ms = span;
    this.end = Math.min(to, nowExact());
    this.added = [];
    void this.loaded.refresh();
  }

  /** factor < 1 comes closer, around the middle; going out from the present stays at the present. */
  zoom(factor: number): void {
    if (this.following && factor > 1) return this.follow(Math.min(SPAN_MAX_MS, this.span_ms * factor));
    const middle = this.to - this.span_ms / 2;
    const half = (this.span_ms * factor) / 2;
    this.look(middle - half, middle + half);
  }

  /** Moves by a part of the window; at the present it follows again. */
  move(part: number): void {
    const to = this.to + this.span_ms * part;
    if (to >= nowExact()) this.follow(this.span_ms);
    else this.look(to - this.span_ms, to);
  }
}

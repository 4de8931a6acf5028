// What Chart.svelte draws besides the lines: axes, limits, zones, gaps, marks, and how far the y-axis reaches. Pure but
// for the canvas that it is given.
import type uPlot from "uplot";
import { plain } from "./format";
import type { Point, Severity } from "./types";
import { SEVERITY } from "./words";

export interface ChartLimit {
  name: string;
  value: number;
  direction?: "high" | "low";
  severity?: Severity;
}
export interface ChartMark {
  at: number;
  severity: Severity;
}
export interface ChartGap {
  from: number;
  to: number;
  cause: string;
}
/** Where values were expected. */
export interface ChartBand {
  from: number;
  to: number;
  words: string;
}
export interface ChartExtras {
  bands: ChartBand[];
  limits: ChartLimit[];
  marks: ChartMark[];
  gaps: ChartGap[];
}

type Columns = [number[], (number | null)[], (number | null)[], (number | null)[]];

/** Columns for uPlot: time, min, max, mean. A gap becomes an empty point, so that the line breaks there. */
export function columns(points: Point[], gaps: ChartGap[]): Columns {
  const rows: [number, number | null, number | null, number | null][] = points.map(([time, mean, min, max, quality]) =>
    quality === 2 ? [time, null, null, null] : [time, min, max, mean],
  );
  for (const gap of gaps) rows.push([gap.from + 1, null, null, null]);
  rows.sort((a, b) => a[0] - b[0]);
  const out: Columns = [[], [], [], []];
  for (const [time, min, max, mean] of rows) {
    out[0].push(time);
    out[1].push(min);
    out[2].push(max);
    out[3].push(mean);
  }
  return out;
}

/** The y-axis holds all data; a limit is brought in as long as the data keeps a third of the height. */
export function yRange(points: Point[], limits: ChartLimit[]): [number, number] {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const [, mean, min, max] of points) {
    const bottom = min ?? mean;
    const top = max ?? mean;
    if (bottom !== null) low = Math.min(low, bottom);
    if (top !== null) high = Math.max(high, top);
  }
  if (low > high) {
    const values = limits.map((limit) => limit.value);
    if (values.length === 0) return [0, 1];
    low = Math.min(...values);
    high = Math.max(...values);
  }
  const span = Math.max(high - low, Math.abs(high) * 0.02, 1e-9);
  let [bottom, top] = [low, high];
  for (const { value } of limits) {
    if (value > top && value - low <= span * 3) top = value;
    if (value < bottom && high - value <= span * 3) bottom = value;
  }
  const pad = Math.max((top - bottom) * 0.1, span * 0.08);
  // Zero stays the floor of what cannot be negative.
  const floor = low >= 0 && bottom - pad < 0 ? 0 : bottom - pad;
  return [floor, top + pad];
}

/** Words for limits that the picture does not reach. */
export function limitsOutside(limits: ChartLimit[], [bottom, top]: [number, number], symbol: string): string[] {
  return limits
    .filter(({ value }) => value > top || value < bottom)
    .map(({ name, value }) => `${name} ${plain(value)}${symbol ? ` ${symbol}` : ""} is ${value > top ? "above" : "below"} the picture`);
}

const DAY_MS = 86_400_000;

/** Times under the chart: seconds when close, the date where a day begins. */
export function timeLabels(splits: number[], step_ms: number): string[] {
  let [lastDay, lastClock] = ["", ""];
  return splits.map((split) => {
    const date = new Date(split);
    const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
    if (step_ms >= DAY_MS) return day;
    const clock = date.toLocaleTimeString("en-GB", {
      hour: "2-digit",
      minute: "2-digit",
      ...(step_ms < 60_000 ? { second: "2-digit" } : {}),
    });
    // Lines less than a second apart would say the same.
    if (clock === lastClock && day === lastDay) return "";
    const first = lastDay !== "" && day !== lastDay;
    [lastDay, lastClock] = [day, clock];
    return first || clock === "00:00" ? `${clock}\n${day}` : clock;
  });
}

export type Colours = Record<
  "text" | "muted" | "grid" | "series" | "band" | "limit" | "line" | "surface" | Severity | `${Severity}-soft`,
  string
>;

export function colours(element: HTMLElement): Colours {
  const style = getComputedStyle(element);
  const names = ["text", "muted", "grid", "series", "band", "limit", "line", "surface"];
  for (const severity of Object.keys(SEVERITY)) names.push(severity, `${severity}-soft`);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Colours;
}

/** Under the lines: zones beyond limits and hatched gaps. */
export function drawUnder(u: uPlot, extras: ChartExtras, colour: Colours): void {
  const { left, top, width, height } = u.bbox;
  const context = u.ctx;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  const mildFirst = [...extras.limits].sort(
    (a, b) => SEVERITY[b.severity ?? "low"].rank - SEVERITY[a.severity ?? "low"].rank,
  );
  for (const limit of mildFirst) {
    if (!limit.direction || !limit.severity) continue;
    const y = u.valToPos(limit.value, "y", true);
    context.fillStyle = colour[`${limit.severity}-soft`];
    if (limit.direction === "high") context.fillRect(left, top, width, Math.max(0, y - top));
    else context.fillRect(left, y, width, Math.max(0, top + height - y));
  }
  for (const band of extras.bands) {
    const [low, high] = [u.valToPos(band.from, "y", true), u.valToPos(band.to, "y", true)];
    context.fillStyle = colour.band;
    context.fillRect(left, high, width, low - high);
  }
  for (const gap of extras.gaps) {
    const from = u.valToPos(gap.from, "x", true);
    const to = Math.max(u.valToPos(gap.to, "x", true), from + 2);
    hatch(context, from, top, to - from, height, colour);
  }
  context.restore();
}

function hatch(c: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, colour: Colours): void {
  const step = 8 * devicePixelRatio;
  c.save();
  c.beginPath();
  c.rect(x, y, width, height);
  c.clip();
  c.fillStyle = colour.surface;
  c.fillRect(x, y, width, height);
  c.strokeStyle = colour.line;
  c.lineWidth = devicePixelRatio;
  c.beginPath();
  for (let offset = -height; offset < width; offset += step) {
    c.moveTo(x + offset, y + height);
    c.lineTo(x + offset + height, y);
  }
  c.stroke();
  c.restore();
}

function label(c: CanvasRenderingContext2D, words: string, from: number, to: number, y: number, colour: Colours): void {
  c.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  const size = c.measureText(words).width;
  if (size > to - from - 8) return;
  c.textAlign = "center";
  c.textBaseline = "alphabetic";
  wordsOn(c, words, (from + to) / 2, y, colour.muted, colour.surface);
}

/** Words with a rim in the colour of the ground, so that they are read over lines. */
function wordsOn(c: CanvasRenderingContext2D, words: string, x: number, y: number, tone: string, ground: string): void {
  c.lineJoin = "round";
  c.lineWidth = 4 * devicePixelRatio;
  c.strokeStyle = ground;
  c.strokeText(words, x, y);
  c.fillStyle = tone;
  c.fillText(words, x, y);
}

/** Over the lines: limits with their names, causes of gaps, alerts as marks at the top. */
export function drawOver(u: uPlot, extras: ChartExtras, colour: Colours): void {
  const { left, top, width, height } = u.bbox;
  const context = u.ctx;
  const scale = devicePixelRatio;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.font = `${12 * scale}px system-ui, sans-serif`;
  for (const limit of extras.limits) {
    const y = Math.round(u.valToPos(limit.value, "y", true));
    if (y < top || y > top + height) continue;
    const tone = limit.severity ? colour[limit.severity] : colour.limit;
    context.strokeStyle = tone;
    context.lineWidth = 1.5 * scale;
    context.setLineDash([6 * scale, 5 * scale]);
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(left + width, y);
    context.stroke();
    context.setLineDash([]);
    context.textAlign = "left";
    const above = y - top > 20 * scale;
    context.textBaseline = above ? "bottom" : "top";
    const at = y + (above ? -3 : 4) * scale;
    wordsOn(context, `${limit.name} ${plain(limit.value)}`, left + 6 * scale, at, tone, colour.surface);
  }
  for (const band of extras.bands) {
    const y = u.valToPos(band.to, "y", true);
    context.textAlign = "right";
    context.textBaseline = "top";
    wordsOn(context, band.words, left + width - 6 * scale, Math.max(y, top) + 3 * scale, colour.muted, colour.surface);
  }
  for (const gap of extras.gaps) {
    const [from, to] = [u.valToPos(gap.from, "x", true), u.valToPos(gap.to, "x", true)];
    label(context, gap.cause, Math.max(from, left), Math.min(to, left + width), top + height - 8 * scale, colour);
  }
  for (const mark of extras.marks) {
    const x = u.valToPos(mark.at, "x", true);
    if (x < left || x > left + width) continue;
    context.strokeStyle = colour[mark.severity];
    context.fillStyle = colour[mark.severity];
    context.lineWidth = scale;
    context.setLineDash([2 * scale, 4 * scale]);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
    context.textAlign = "center";
    context.textBaseline = "top";
    context.font = `${14 * scale}px system-ui, sans-serif`;
    context.fillText(SEVERITY[mark.severity].shape, x, top + 2 * scale);
  }
  context.restore();
}

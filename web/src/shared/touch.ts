// Fingers on a chart: one moves the window, two pinch it; what lies under a finger stays under it.
// Up and down stay the page's own scrolling (touch-action: pan-y on the chart).
import type uPlot from "uplot";

type Range = [from: number, to: number];
const MOVE_MIN_PX = 8;
const APART_MIN_PX = 24;

interface Ends {
  /** Shows a window while fingers move; null: the one that was. */
  preview: (range: Range | null) => void;
  done: (from: number, to: number) => void;
}

/** The window in which `times` lie at the places `xs` of a picture `width` wide; with one finger the span stays. */
export function windowUnder(times: number[], xs: number[], width: number, span: number): Range | null {
  const [time = 0, timeB] = times;
  const [x = 0, xB] = xs;
  let perPixel = span / width;
  if (timeB !== undefined && xB !== undefined) {
    if (Math.abs(xB - x) < APART_MIN_PX) return null;
    perPixel = (timeB - time) / (xB - x);
  }
  if (!(perPixel > 0)) return null;
  const from = time - perPixel * x;
  return [from, from + perPixel * width];
}

/** Listens on `element`; the answer stops it. */
export function followFingers(element: HTMLElement, plot: () => uPlot | null, ends: Ends): () => void {
  let times: number[] = [];
  let firstX = 0;
  let span = 0;
  let range: Range | null = null;

  const places = (event: TouchEvent, chart: uPlot) => {
    const left = chart.over.getBoundingClientRect().left;
    return [...event.touches].slice(0, 2).map((touch) => touch.clientX - left);
  };
  const hold = (event: TouchEvent) => {
    const chart = plot();
    if (!chart) return;
    const xs = places(event, chart);
    times = xs.map((x) => chart.posToVal(x, "x"));
    firstX = xs[0] ?? 0;
    span = chart.posToVal(chart.over.clientWidth, "x") - chart.posToVal(0, "x");
  };
  const move = (event: TouchEvent) => {
    const chart = plot();
    if (!chart || times.length !== Math.min(2, event.touches.length)) return;
    const xs = places(event, chart);
    if (range === null && xs.length === 1 && Math.abs((xs[0] ?? 0) - firstX) < MOVE_MIN_PX) return;
    if (event.cancelable) event.preventDefault();
    range = windowUnder(times, xs, chart.over.clientWidth, span) ?? range;
    ends.preview(range);
  };
  const leave = (event: TouchEvent) => {
    if (event.touches.length > 0) return hold(event);
    const last = range;
    range = null;
    times = [];
    if (last && event.type === "touchend") ends.done(last[0], last[1]);
    ends.preview(null);
  };
  element.addEventListener("touchstart", hold, { passive: true });
  element.addEventListener("touchmove", move, { passive: false });
  element.addEventListener("touchend", leave);
  element.addEventListener("touchcancel", leave);
  return () => {
    element.removeEventListener("touchstart", hold);
    element.removeEventListener("touchmove", move);
    element.removeEventListener("touchend", leave);
    element.removeEventListener("touchcancel", leave);
  };
}

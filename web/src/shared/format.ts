// Numbers, times, ages and sizes as people read them. Pure; times are shown in the zone of the device that shows them.
import type { NameLike, Unit } from "./types";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** What stands for "there is none". */
export const NONE = "–";

// Making a formatter costs as much as hundreds of uses of it, and a plant's page formats thousands of values a second.
const byDecimals = [0, 1, 2, 3].map(
  (decimals) => new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
);
const asSet = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const dateFormat = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat("en-GB", options);
const hoursMinutes = dateFormat({ hour: "2-digit", minute: "2-digit" });
const hoursMinutesSeconds = dateFormat({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const weekdayAndDay = dateFormat({ weekday: "short", day: "numeric", month: "short" });
const dayAndYear = dateFormat({ day: "numeric", month: "short", year: "numeric" });
const whole = dateFormat({
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

/** Whether a value is the code of a text (48 bits) and says nothing to people; the numbers of states are small. */
export function isCode(value: number | null | undefined): boolean {
  return Math.abs(value ?? 0) >= 2 ** 32;
}

/** A measured value with as many decimals as its size deserves: 0.213, 5.12, 96.8, 1,482. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  const decimals = size >= 1000 ? 0 : size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : 3;
  return byDecimals[decimals]?.format(value) ?? NONE;
}

/** A set value such as a limit: no decimals that were not written. */
export function plain(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  return asSet.format(value);
}

export function count(value: number): string {
  return byDecimals[0]?.format(value) ?? NONE;
}

/** "1 order", "3 orders", "no orders" */
export function counted(value: number, one: string, many = `${one}s`): string {
  return value === 0 ? `no ${many}` : value === 1 ? `1 ${one}` : `${count(value)} ${many}`;
}

export function unitSymbol(unit: Unit | string | null | undefined): string {
  if (!unit) return "";
  return typeof unit === "string" ? unit : unit.symbol || unit.code;
}

/** "96.8 °C" */
export function withUnit(value: number | null | undefined, unit: Unit | string | null | undefined): string {
  const symbol = unitSymbol(unit);
  return symbol ? `${number(value)} ${symbol}` : number(value);
}

export function nameOf(value: NameLike): string {
  if (!value) return "";
  return typeof value === "string" ? value : value.name;
}

function millis(time: string | number | null | undefined): number {
  if (time === null || time === undefined) return Number.NaN;
  return typeof time === "number" ? time : Date.parse(time);
}

function sameDay(a: number, b: number): boolean {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

/** "14:03" today, "Mon 16 Nov 14:03" on other days, with the year when it is another. */
export function clockTime(time: string | number | null | undefined, now: number, seconds = false): string {
  const at = millis(time);
  if (Number.isNaN(at)) return NONE;
  const date = new Date(at);
  const hours = (seconds ? hoursMinutesSeconds : hoursMinutes).format(date);
  if (sameDay(at, now)) return hours;
  const otherYear = date.getFullYear() !== new Date(now).getFullYear();
  const day = (otherYear ? dayAndYear : weekdayAndDay).format(date);
  return `${day.replace(",", "")} ${hours}`;
}

/** Date, time with seconds and zone, for titles and print. */
export function fullTime(time: string | number | null | undefined): string {
  const at = millis(time);
  if (Number.isNaN(at)) return NONE;
  return whole.format(at);
}

/** A length of time in its two largest words at most: "40 s", "4 min", "3 h 20 min", "2 days". */
export function duration(ms: number): string {
  const length = Math.max(0, ms);
  if (length < MINUTE_MS) return `${Math.floor(length / 1000)} s`;
  if (length < HOUR_MS) return `${Math.floor(length / MINUTE_MS)} min`;
  if (length < 10 * HOUR_MS) {
    const minutes = Math.floor((length % HOUR_MS) / MINUTE_MS);
    return minutes === 0 ? `${Math.floor(length / HOUR_MS)} h` : `${Math.floor(length / HOUR_MS)} h ${minutes} min`;
  }
  if (length < 2 * DAY_MS) return `${Math.floor(length / HOUR_MS)} h`;
  return `${Math.floor(length / DAY_MS)} days`;
}

/** "just now", "4 min ago", "in 2 h" */
export function age(time: string | number | null | undefined, now: number): string {
  const at = millis(time);
  if (Number.isNaN(at)) return NONE;
  const passed = now - at;
  if (passed < -5000) return `in ${duration(-passed)}`;
  return passed < 5000 ? "just now" : `${duration(passed)} ago`;
}

/** "12.4 MB" */
export function bytes(size: number): string {
  const words = ["bytes", "kB", "MB", "GB", "TB"];
  let value = size;
  let step = 0;
  while (value >= 1000 && step < words.length - 1) {
    value /= 1000;
    step += 1;
  }
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${words[step]}`;
}

/** "41 days", "5 h": room is estimated, so it is never more exact than that. */
export function roomDays(days: number | null): string {
  if (days === null || !Number.isFinite(days)) return "";
  if (days >= 2) return `${count(Math.floor(days))} days`;
  return `${Math.max(0, Math.floor(days * 24))} h`;
}

/** First letter large, for a list of words that became a sentence. */
export function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

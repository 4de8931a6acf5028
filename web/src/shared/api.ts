// The one way both pages talk to their server: JSON, problem+json errors, CSRF header, idempotency key, time-out.
// Never shows anything and never retries by itself: callers decide.
import { noteServerDate } from "./clock.svelte";

const PREFIX = "/api/v1";
const TIMEOUT_MS = 15_000;

/** An answer that is not a success, in the words of the server (RFC 9457) or, with status 0, of the connection. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  readonly field: string | null;
  readonly retryable: boolean;
  readonly retryAfterS: number | null;

  constructor(status: number, body: Record<string, unknown>, retryAfterS: number | null = null) {
    const title = text(body.title) ?? `The server answered ${status}`;
    super(title);
    this.status = status;
    this.title = title;
    this.code = text(body.code) ?? "unknown";
    this.detail = text(body.detail) ?? "";
    this.field = text(body.field);
    this.retryable = body.retryable === true || status === 0 || status >= 500;
    this.retryAfterS = retryAfterS;
  }

  /** No answer at all: nothing is known about what the server did. */
  get unreachable(): boolean {
    return this.status === 0;
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** Any thrown value as a Problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(-1, {
    title: "This page failed",
    detail: `${error instanceof Error ? error.message : String(error)}. Reload the page; when it happens again, tell your administrator.`,
    code: "page",
  });
}

let csrf: string | null = null;
/** The hub gives this value with the session; every write carries it. */
export function setCsrf(value: string | null): void {
  csrf = value;
}

let onSignedOut: (problem: Problem) => void = () => {};
/** Called when the server says that nobody is signed in (any more). */
export function whenSignedOut(callback: (problem: Problem) => void): void {
  onSignedOut = callback;
}

/** A UUID for Idempotency-Key. Version 7, because it becomes the id of an event and those sort by time. */
export function newKey(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let index = 0; index < 6; index += 1) bytes[index] = Math.floor(now / 256 ** (5 - index)) % 256;
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export interface WriteOptions {
  /** Give the same key again to repeat a write whose answer was lost. */
  key?: string;
}

export function get<T>(path: string, query: Record<string, string | number | null | undefined> = {}): Promise<T> {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") parameters.set(name, String(value));
  }
  const search = parameters.size > 0 ? `?${parameters}` : "";
  return send<T>("GET", path + search);
}
export function post<T>(path: string, body: unknown, options: WriteOptions = {}): Promise<T> {
  return send<T>("POST", path, body, options.key ?? newKey());
}
export function patch<T>(path: string, body: unknown, options: WriteOptions = {}): Promise<T> {
  return send<T>("PATCH", path, body, options.key ?? newKey());
}
export function remove(path: string): Promise<void> {
  return send<void>("DELETE", path, undefined, newKey());
}

/** Any call; `get`, `post`, `patch` and `remove` say it shorter. */
export async function send<T>(method: string, path: string, body?: unknown, key?: string, more: Record<string, string> = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json, application/problem+json", ...more };
  if (method !== "GET") {
    headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    if (csrf) headers["X-CSRF-Token"] = csrf;
  }
  let response: Response;
  try {
    response = await fetch(PREFIX + path, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
      cache: "no-store",
    });
  } catch (error) {
    const slow = error instanceof DOMException && error.name === "TimeoutError";
    throw new Problem(0, {
      title: slow ? `No answer within ${TIMEOUT_MS / 1000} s` : "The server cannot be reached",
      detail: "Check the network of this device. The page tries again by itself as soon as it answers.",
      code: "unreachable",
    });
  }
  noteServerDate(response.headers.get("Date"));
  if (response.status === 204) return undefined as T;
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer as T;
  const fields = answer !== null && typeof answer === "object" ? (answer as Record<string, unknown>) : {};
  const retryAfter = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const problem = new Problem(response.status, fields, Number.isFinite(retryAfter) ? retryAfter : null);
  if (response.status === 401 && path !== "/session") onSignedOut(problem);
  throw problem;
}

/** All pages of a list, up to `max` rows, and whether more are left. A row that moved to a later page meanwhile is there once. */
export async function list<T extends { id: string }>(
  path: string,
  query: Record<string, string | number | null | undefined> = {},
  max = 1000,
): Promise<{ rows: T[]; more: boolean }> {
  const rows = new Map<string, T>();
  let cursor: string | null = null;
  do {
    const page: { data: T[]; next_cursor: string | null } = await get(path, { limit: 200, ...query, cursor });
    for (const row of page.data) rows.set(row.id, row);
    cursor = page.next_cursor;
  } while (cursor !== null && rows.size < max);
  return { rows: [...rows.values()], more: cursor !== null };
}

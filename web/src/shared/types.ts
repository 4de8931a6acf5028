// The shapes of docs/api.md as both pages read them. Unknown fields are ignored; nothing here is computed.

export interface Named {
  id: string;
  name: string;
}
export interface Unit {
  code: string;
  symbol: string;
}
/** Some fields are a name, some an object with a name: `nameOf` reads both. */
export type NameLike = string | { name: string } | null | undefined;

export type Severity = "critical" | "high" | "medium" | "low";
export type Direction = "high" | "low";
export type ClockState = "synchronised" | "holdover" | "untrusted" | "corrected";
export type AlertState = "active" | "acknowledged" | "cleared" | "closed";
export type OrderState =
  | "requested"
  | "open"
  | "scheduled"
  | "in_progress"
  | "on_hold"
  | "done"
  | "closed"
  | "rejected"
  | "cancelled"
  | "duplicate";

export interface HistoryLine {
  id: string;
  at: string;
  clock: ClockState;
  by: NameLike;
  origin: "gateway" | "hub";
  /** One word: see HISTORY in words.ts. */
  what: string;
  /** What came with it, such as a note or a name. */
  text: string | null;
  applied: boolean;
  note: string | null;
}
export interface Comment {
  at: string;
  by: NameLike;
  text: string;
  late?: boolean;
  /** On this phone, not yet on the box. */
  waits?: boolean;
}

export interface Alert {
  id: string;
  state: AlertState;
  severity: Severity;
  title: string;
  rule: string;
  direction: Direction | null;
  value: number | null;
  peak: number | null;
  limit: number | null;
  unit: Unit | null;
  asset: NameLike;
  sensor_id: string | null;
  sensor: NameLike;
  raised_at: string;
  clock: ClockState;
  acknowledged_at: string | null;
  acknowledged_by: NameLike;
  cleared_at: string | null;
  cleared_value: number | null;
  work_order: { id: string; number: string } | null;
  gateway: Named | null;
  site: Named | null;
  comments?: Comment[];
  history?: HistoryLine[];
  // What came with the life cycle of alarms; a server of an older build leaves it out.
  kind?: AlertKind;
  words?: string;
  expected?: [number, number] | null;
  /** -log10 of the chance of a value like this. */
  score?: number | null;
  /** Seconds: early, likely, late. */
  reaches_limit_in?: [number, number, number] | null;
  first_out?: boolean;
  criticality?: "A" | "B" | "C" | "D" | null;
  rule_severity?: Severity;
  /** The value is back, a person still has to put it back. */
  latched?: boolean;
  superseded_by?: string | null;
  /** Its rule on its sensor. */
  point?: string | null;
  chattering?: boolean;
  shelved?: Shelf | null;
  out_of_service?: Said | null;
  suppressed_by?: Suppressed | null;
  /** Since this alert a person said that it is normal now. */
  learns_anew?: Said;
  told?: { at: string; channel: string; to: string; delivered: boolean; words: string }[];
  suppresses?: HeldPoint[];
}
export type AlertKind = "threshold" | "rate" | "flat" | "stale" | "state" | "deviation" | "trend" | "pattern" | "predictive";
export interface Said {
  at: string;
  by: string;
  reason: string;
}
export interface Shelf extends Said {
  until: string;
}
export interface Suppressed {
  words: string;
  alert: string | null;
  since: string;
}
/** What is held back of a rule on a sensor. */
export interface HeldPoint {
  id: string;
  rule: string;
  sensor: string;
  shelved: Shelf | null;
  out_of_service: Said | null;
  suppressed_by: Suppressed | null;
  chattering_since: string | null;
  withheld: { value: number; since: string } | null;
}
/** A rule on a sensor and how it stands. */
export interface AlarmPoint extends HeldPoint {
  title: string;
  asset: string | null;
  severity: Severity;
  state: string;
  alert: string | null;
  alerts_day: number;
  shelve_max_minutes: number;
}
export interface Maintenance {
  id: string;
  asset: string | null;
  device: string | null;
  on: boolean;
  said: Said | null;
  until: string | null;
}
export interface AlarmLoad {
  from: string;
  to: string;
  operators: number;
  alerts: number;
  figures: { name: string; words: string; value: number; target: number; ok: boolean }[];
  bad_actors: { rule: string; sensor: string; alerts: number; share: number }[];
  by_priority: { severity: Severity; alerts: number; share: number; target_share: number }[];
}

/** Of a site, or of one gateway of it. */
export interface SiteLoad extends AlarmLoad {
  site: Named;
  gateway: Named | null;
}

export interface Conflict {
  field: string;
  kept: unknown;
  lost: unknown;
  kept_by: NameLike;
  lost_by: NameLike;
  at: string;
  words: string;
}
export interface Snapshot {
  sensor_id: string;
  sensor: NameLike;
  unit: Unit | string | null;
  limit: number | null;
  points: [number, number | null][];
}
export interface WorkOrder {
  id: string;
  number: string;
  title: string;
  description: string | null;
  type: string;
  priority: number;
  state: OrderState;
  hold_reason: string | null;
  asset: NameLike;
  alert_id: string | null;
  alert_ids: string[];
  assignee: NameLike;
  due: string | null;
  created_at: string;
  started_at: string | null;
  done_at: string | null;
  closed_at: string | null;
  created_by: NameLike;
  gateway: Named | null;
  site: NameLike;
  needs_review: boolean;
  conflicts?: Conflict[];
  comments?: Comment[];
  labour?: { at: string; by: NameLike; minutes: number; note: string | null; overlaps?: boolean; late?: boolean; waits?: boolean }[];
  parts?: { at: string; by: NameLike; part: string; quantity: number; number?: string | null; place?: string | null; waits?: boolean }[];
  remedy: string | null;
  done_by?: NameLike;
  verified_at?: string | null;
  verified_by?: NameLike;
  scheduled_from?: string | null;
  scheduled_until?: string | null;
  duplicate_of?: string | null;
  /** Whose clock runs. */
  clocks?: { by: NameLike; since: string; waits?: boolean }[];
  failure?: Failure | null;
  follow_ups?: { id: string; number: string; task: string | null }[];
  tasks_total?: number;
  /** Required tasks without a result. */
  tasks_open?: number;
  tasks_failed?: number;
  tasks?: Task[];
  signatures?: Signature[];
  attachments?: Attachment[];
  snapshot?: Snapshot[];
  history?: HistoryLine[];
  actions?: string[];
}
export type TaskKind = "check" | "number" | "text" | "choice" | "photo" | "signature";
export interface TaskResult {
  at: string;
  by: NameLike;
  value: boolean | number | string | null;
  skipped: boolean;
  good: boolean | null;
  note: string | null;
  late: boolean;
  waits?: boolean;
}
export interface Task {
  id: string;
  title: string;
  kind: TaskKind;
  required: boolean;
  unit: Unit | null;
  low: number | null;
  high: number | null;
  choices: { text: string; good: boolean }[];
  checklist: { id: string; version: number; title: string } | null;
  result: TaskResult | null;
  earlier: TaskResult[];
}
export type FailureEffect = "none" | "reduced" | "stopped" | "quality" | "safety" | "environment";
export interface Failure {
  problem: string | null;
  cause: string | null;
  remedy: string | null;
  problem_code: string | null;
  cause_code: string | null;
  remedy_code: string | null;
  effect: FailureEffect | null;
  downtime_minutes: number | null;
}
export type Meaning = "performed" | "verified" | "approved" | "released" | "witnessed";
export interface Signature {
  id: string;
  at: string;
  by: NameLike;
  meaning: Meaning;
  method: "pin" | "password" | "name";
  note: string | null;
  task: string | null;
  holds: boolean;
  changes_since: number;
}
/** A photo or document; `place` says where its bytes are. */
export interface Attachment {
  id: string;
  hash: string;
  name: string;
  media_type: string;
  picture: boolean;
  bytes: number;
  at: string;
  by: NameLike;
  note: string | null;
  late: boolean;
  /** `phone`: waits on this phone, under its id. */
  place: "box" | "both" | "hub" | "none" | "phone";
}

export type Quality = "good" | "uncertain" | "bad";
export interface Limit {
  name: string;
  value: number;
  direction: Direction;
  severity: Severity;
}
export interface Sensor {
  id: string;
  name: string;
  path: string;
  device: NameLike;
  asset: NameLike;
  gateway: Named | null;
  unit: Unit | null;
  value: number | null;
  /** What the value is called: a text sensor's text, or the word of a state. */
  text?: string | null;
  /** null: never read yet */
  quality: Quality | null;
  quality_words: string | null;
  time: string | null;
  clock: ClockState | null;
  period_s?: number;
  limits: Limit[];
  range: [number, number] | null;
}
/** [time in ms, mean, min, max, quality 0 good 1 uncertain 2 bad] */
export type Point = [number, number | null, number | null, number | null, number];
export interface Readings {
  sensor_id: string;
  from: string;
  to: string;
  unit: Unit | null;
  raw: boolean;
  points: Point[];
  gaps: { from: string; to: string; cause: string }[];
}
export interface Reading {
  sensor_id: string;
  time: string;
  value: number | null;
  text?: string | null;
  quality: Quality;
  quality_words?: string | null;
}

export interface Link {
  state: "not_enrolled" | "connecting" | "connected" | "offline" | "refused";
  since: string | null;
  words: string | null;
  hub: string | null;
  waiting_events: number;
  waiting_readings: number;
  waiting_attachments: number;
  room_days: number | null;
}
export interface Device {
  name: string;
  port: string;
  asset: NameLike;
  state: "ok" | "silent" | "error" | "starting";
  since: string | null;
  words: string | null;
}
export interface BoxStatus {
  gateway: { id: string; name: string; code: string };
  site: Named | null;
  version: string;
  now: string;
  clock: ClockState;
  started_at: string;
  link: Link;
  store: { buffer_bytes: number; buffer_bytes_max: number | null; journal_rows: number; blocks: number; warnings?: string[] };
  queue: { depth: number; max: number; dropped_polls: number };
  devices: Device[];
  people: Named[];
  alerts_active: number;
  orders_open: number;
  access_code_needed: boolean;
}

export interface User {
  id: string;
  name: string;
  role: "admin" | "planner" | "viewer";
}
export interface Session {
  user: User;
  csrf: string;
}
export interface Site {
  id: string;
  name: string;
  gateways: number;
  away: number;
  alerts_active: number;
  orders_open: number;
}
export interface Span {
  from: string;
  to: string;
  state: "complete" | "missing" | "gap";
  cause: string | null;
}
export interface Gateway {
  id: string;
  name: string;
  code: string;
  site: Named | null;
  state: "online" | "away" | "never_seen" | "revoked";
  last_seen: string | null;
  since: string | null;
  clock: ClockState | null;
  version: string | null;
  readings: number;
  events: number;
  completeness: {
    complete_to: string | null;
    missing: number;
    words: string;
    from: string | null;
    spans: Span[];
  } | null;
  alerts_active: number;
}

export interface Page<T> {
  data: T[];
  next_cursor: string | null;
}

/** A configuration that the hub gave a box, as far as the box has told. */
export type DocumentState = "received" | "rejected" | "applied" | "confirmed" | "rolled_back";
export interface GatewayDocument {
  version: number;
  made: string;
  by: string | null;
  state: DocumentState | null;
  words: string | null;
  at: string | null;
}
export interface GatewayConfiguration {
  /** What the box said last; version 0: of no document. */
  told: { version: number; state: DocumentState | null; words: string } | null;
  documents: GatewayDocument[];
}
export type CommandOutcome = "done" | "refused" | "failed" | "expired" | "unknown";
export interface GatewayCommand {
  id: string;
  task: string;
  arguments: string[];
  issued: string;
  expires: string;
  by: string;
  outcome: CommandOutcome | null;
  words: string | null;
  ended: string | null;
}

// The words and shapes for states, so that both pages say the same thing in the same way.
import { duration, fullTime, nameOf, plain, sentence, unitSymbol } from "./format";
import type { Alert, AlertKind, AlertState, ClockState, CommandOutcome, DocumentState, Device, Gateway, FailureEffect, HistoryLine, Meaning, OrderState, Severity, WorkOrder } from "./types";

/** Shape, word and colour always go together; the shape alone is enough in grey. */
export const SEVERITY: Record<Severity, { shape: string; word: string; rank: number }> = {
  critical: { shape: "▲", word: "Critical", rank: 0 },
  high: { shape: "●", word: "High", rank: 1 },
  medium: { shape: "◆", word: "Medium", rank: 2 },
  low: { shape: "▽", word: "Low", rank: 3 },
};

/** Work-order priority 1 to 5 in the same four shapes; 5 is planned work and has no colour. */
export const PRIORITY: Record<number, { severity: Severity | null; word: string }> = {
  1: { severity: "critical", word: "1 Now" },
  2: { severity: "high", word: "2 Today" },
  3: { severity: "medium", word: "3 This week" },
  4: { severity: "low", word: "4 Soon" },
  5: { severity: null, word: "5 When planned" },
};

/** What sort of trouble, for whoever did not write the rule. */
export const ALERT_KIND: Record<AlertKind, string> = {
  threshold: "Limit",
  rate: "Changes too fast",
  flat: "Does not move",
  stale: "No reading",
  state: "State",
  deviation: "Unlike usual",
  trend: "Heads for a limit",
  pattern: "Comes again and again",
  predictive: "Foreseen",
};

/** What the detector found, in the words of people: the expected band, the time to the limit. */
export function foundWords(alert: Alert): string {
  const parts: string[] = [];
  const unit = unitSymbol(alert.unit);
  if (alert.expected) parts.push(`expected ${plain(Number(alert.expected[0].toPrecision(3)))} to ${plain(Number(alert.expected[1].toPrecision(3)))} ${unit}`.trim());
  if (alert.reaches_limit_in) {
    const [early, likely, late] = alert.reaches_limit_in;
    const limit = alert.limit === null ? "the limit" : `${plain(alert.limit)} ${unit}`.trim();
    parts.push(`reaches ${limit} in about ${duration(likely * 1000)} (${duration(early * 1000)} to ${duration(late * 1000)})`);
  }
  return sentence(parts.join("; "));
}

export const ALERT_STATE: Record<AlertState, string> = {
  active: "not acknowledged",
  acknowledged: "acknowledged, still abnormal",
  cleared: "normal again, not acknowledged",
  closed: "closed",
};

/** The state with who saw it: "acknowledged by Lena Brandt, still abnormal". */
export function alertState(alert: Alert): string {
  const who = nameOf(alert.acknowledged_by);
  return alert.state === "acknowledged" && who ? `acknowledged by ${who}, still abnormal` : ALERT_STATE[alert.state];
}

export const ORDER_STATE: Record<OrderState, string> = {
  requested: "Requested",
  open: "Open",
  scheduled: "Scheduled",
  in_progress: "In progress",
  on_hold: "On hold",
  done: "Done",
  closed: "Closed",
  rejected: "Rejected",
  cancelled: "Cancelled",
  duplicate: "Duplicate",
};
export const OPEN_STATES: OrderState[] = ["requested", "open", "scheduled", "in_progress", "on_hold"];

export const HOLD_REASON: Record<string, string> = {
  material: "Waiting for material",
  plant: "Plant is running",
  access: "No access",
  permit: "Waiting for a permit",
  vendor: "Waiting for a vendor",
  other: "Other reason",
};

export const MEANING: Record<Meaning, string> = {
  performed: "I did this work",
  verified: "I looked at it and it is right",
  approved: "I approve it",
  released: "The machine may run again",
  witnessed: "I was there",
};
/** What stands beside a signature. */
export const SIGNED: Record<Meaning, string> = {
  performed: "did this work",
  verified: "found it right",
  approved: "approved it",
  released: "released the machine",
  witnessed: "was there",
};
export const EFFECT: Record<FailureEffect, string> = {
  none: "Nothing",
  reduced: "It ran with less",
  stopped: "It stood still",
  quality: "The product suffered",
  safety: "People were in danger",
  environment: "Something got out",
};

export const DEVICE_STATE: Record<Device["state"], string> = {
  ok: "Answers",
  silent: "Silent",
  error: "Error",
  starting: "Starting",
};

export const GATEWAY_STATE: Record<Gateway["state"], string> = {
  online: "Online",
  away: "Away",
  never_seen: "Never seen",
  revoked: "Revoked",
};

export const CLOCK_WORDS: Record<ClockState, string> = {
  synchronised: "Clock is synchronised",
  holdover: "Clock runs on its own since it was last set",
  untrusted: "Clock cannot be trusted: times may be wrong",
  corrected: "Clock was not set at that time: the time was corrected afterwards",
};

/** What became of a configuration that the hub gave. */
export const DOCUMENT_WORDS: Record<DocumentState, string> = {
  received: "the box has it",
  rejected: "the box does not take it",
  applied: "on trial",
  confirmed: "counts",
  rolled_back: "went wrong, the box went back",
};
export const COMMAND_WORDS: Record<string, string> = {
  restart: "Restart the collection",
  renew_certificate: "Renew the certificate",
  read: "Read",
};
export const OUTCOME_WORDS: Record<CommandOutcome, string> = {
  done: "done",
  refused: "refused",
  failed: "failed",
  expired: "expired, was not done",
  unknown: "nobody knows: the box stopped while it was at it",
};

export function orderState(order: WorkOrder): string {
  const word = ORDER_STATE[order.state] ?? order.state;
  if (order.state !== "on_hold" || !order.hold_reason) return word;
  return `${word}: ${(HOLD_REASON[order.hold_reason] ?? order.hold_reason).toLowerCase()}`;
}

/** What a line of the history says before the text that came with it. */
const HISTORY: Record<string, string> = {
  raised: "Raised",
  acknowledged: "Acknowledged",
  cleared: "Normal again",
  commented: "Note",
  created: "Created",
  field_set: "Changed",
  assigned: "Assigned to",
  unassigned: "Assigned to nobody",
  approved: "Approved",
  rejected: "Rejected",
  scheduled: "Scheduled",
  started: "Work started",
  resumed: "Work went on",
  held: "Put on hold",
  done: "Completed",
  closed: "Closed",
  cancelled: "Cancelled",
  reopened: "Reopened",
  labour: "Worked",
  part: "Part",
  snapshot: "Readings around the alarm kept",
  attached: "Photo or file added",
  alarm_occurred: "The alarm came again",
  alarm_cleared: "The alarm went",
  reviewed: "Reviewed",
  linked: "Linked to another record",
  duplicate: "Marked as a duplicate",
  merged: "Merged into another order",
  tasks_added: "Steps added",
  task_answered: "Step",
  task_cleared: "Result taken back",
  failure_reported: "Failure report",
  failure: "Failure report",
  marked_duplicate: "Marked as a duplicate",
  labour_started: "Clock started",
  labour_stopped: "Clock stopped",
  part_moved: "Part",
  signed: "Signed",
  verified: "Verified",
  followed_up: "Goes on in",
  described: "Found",
  told: "Told",
  not_told: "Not told",
  superseded: "Came again as a new alert",
  reset: "Put back",
  realarmed: "Still stands: waits for somebody again",
};
/** These read on without a colon. */
const READS_ON = ["assigned", "labour"];

/** The value of a field as people read it; a time stands in the record as microseconds. */
export function fieldValue(field: string, value: string): string {
  if (value === "") return "(empty)";
  return field === "due" && /^\d{13,}$/.test(value) ? fullTime(Number(value) / 1000) : value;
}

/** One line of a history in plain words. */
export function historyWords(line: HistoryLine): string {
  const known = HISTORY[line.what] ?? HISTORY[line.what.split(".").pop() ?? ""];
  if (!known) return line.text ?? sentence(line.what.replaceAll("_", " "));
  if (!line.text) return known;
  if (line.what === "field_set") {
    const [field = "", ...value] = line.text.split(": ");
    return `${known} ${field}: ${fieldValue(field, value.join(": "))}`;
  }
  if (line.what === "signed") return `${known}: ${SIGNED[line.text as Meaning] ?? line.text}`;
  return READS_ON.includes(line.what) ? `${known} ${line.text}` : `${known}: ${line.text}`;
}

/** "mine" on a shared phone is decided by the name that the person gave. */
export function isMine(order: WorkOrder, person: string): boolean {
  return person !== "" && nameOf(order.assignee).trim().toLowerCase() === person.trim().toLowerCase();
}

export function isOpen(order: WorkOrder): boolean {
  return OPEN_STATES.includes(order.state);
}

/** Somebody must look: abnormal and not acknowledged first, then by severity, then the newest. */
export function byUrgency(a: Alert, b: Alert): number {
  const waits = (alert: Alert) => (alert.state === "active" ? 0 : alert.state === "closed" ? 2 : 1);
  return (
    waits(a) - waits(b) ||
    SEVERITY[a.severity].rank - SEVERITY[b.severity].rank ||
    Date.parse(b.raised_at) - Date.parse(a.raised_at)
  );
}

/** Open work first by priority, then by due time, then the newest. */
export function byPriority(a: WorkOrder, b: WorkOrder): number {
  const due = (order: WorkOrder) => (order.due ? Date.parse(order.due) : Number.MAX_SAFE_INTEGER);
  return (
    Number(isOpen(b)) - Number(isOpen(a)) ||
    a.priority - b.priority ||
    due(a) - due(b) ||
    Date.parse(b.created_at) - Date.parse(a.created_at)
  );
}

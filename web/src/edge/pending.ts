// A record as it will be when the box has taken what waits on this phone. Pure. What it adds is marked `waits`, so that
// every page can say that it is not on the box yet.
import { nameOf } from "../shared/format";
import type { Alert, Failure, OrderState, Task, WorkOrder } from "../shared/types";
import { isOpen } from "../shared/words";
import type { Entry } from "./queue";
import type { Asset } from "../shared/reference";
import { uuid5 } from "./uuid5";

/** The last word of an action's path: ".../actions/complete". */
export function actionOf(entry: Entry): string | null {
  return /\/actions\/([a-z_-]+)$/.exec(entry.path)?.[1] ?? null;
}

/** The state after an action, where it changes it. */
const AFTER: Record<string, OrderState> = {
  approve: "open",
  reject: "rejected",
  start: "in_progress",
  resume: "in_progress",
  hold: "on_hold",
  complete: "done",
  close: "closed",
  cancel: "cancelled",
  reopen: "open",
};
/** What a person may do with an order that the box has not judged yet: `WorkOrder::may` of the box, for pages. */
function mayNow(order: WorkOrder): string[] {
  const { state } = order;
  const before = state === "requested" || state === "open" || state === "scheduled";
  const ended = ["closed", "cancelled", "rejected", "duplicate"].includes(state);
  const rules: [string, boolean][] = [
    ["approve", state === "requested"],
    ["reject", state === "requested"],
    ["start", before],
    ["resume", state === "on_hold"],
    ["complete", !ended && state !== "done" && state !== "requested"],
    ["hold", state === "open" || state === "scheduled" || state === "in_progress"],
    ["close", !ended],
    ["reopen", ended || state === "done"],
    ["verify", state === "done"],
    ["duplicate", !ended],
    ["cancel", (before || state === "on_hold") && order.started_at === null],
    ["assign", !ended],
    ["edit", !ended],
  ];
  return rules.flatMap(([action, allowed]) => (allowed ? [action] : []));
}

const text = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

/** The order with what waits of it; of `entries` on other orders only that whoever begins there has left here. */
export function orderWith(order: WorkOrder, entries: Entry[]): WorkOrder {
  return entries.filter((entry) => entry.refused === null).reduce(step, order);
}

function step(order: WorkOrder, entry: Entry): WorkOrder {
  const { body, at } = entry;
  const by = entry.who.name;
  const action = actionOf(entry);
  if (entry.record !== order.id) return action === "labour_start" ? { ...order, clocks: stopped(order, by) } : order;
  if (entry.file) {
    const { name, type, bytes } = entry.file;
    const made = { id: entry.key, hash: "", name, media_type: type, picture: type.startsWith("image/"), bytes, at, by, note: null, late: false, place: "phone" as const };
    return { ...order, attachments: [...(order.attachments ?? []), made] };
  }
  if (action === null) return order;
  const minutes = typeof body.minutes === "number" ? body.minutes : 0;
  const next = AFTER[action];
  let changed = order;
  if (next) changed = { ...changed, state: next };
  if (action === "comment") changed = { ...changed, comments: [...(order.comments ?? []), { at, by, text: String(body.text ?? ""), waits: true }] };
  if (action === "hold") changed = { ...changed, hold_reason: text(body.reason) };
  if (action === "start") changed = { ...changed, started_at: order.started_at ?? at };
  if (action === "complete") changed = { ...changed, done_at: at, remedy: text(body.remedy) ?? order.remedy };
  if (action === "close") changed = { ...changed, closed_at: at };
  if (minutes > 0) changed = { ...changed, labour: [...(order.labour ?? []), { at, by, minutes, note: text(body.note), waits: true }] };
  if (action === "labour_start" && changed.clocks) {
    const clocks = [...changed.clocks.filter((clock) => nameOf(clock.by) !== by), { by, since: at, waits: true }];
    const begun: OrderState = isOpen(order) && order.state !== "requested" ? "in_progress" : order.state;
    changed = { ...changed, clocks, state: begun, started_at: order.started_at ?? at };
  }
  if (action === "labour_stop" || action === "complete") changed = { ...changed, clocks: stopped(changed, by) };
  if (action === "failure") changed = { ...changed, failure: { ...NO_FAILURE, ...order.failure, ...(body as Partial<Failure>) } };
  if (action === "assign") changed = { ...changed, assignee: text(body.name) };
  if (action === "unassign") changed = { ...changed, assignee: null };
  if (action === "edit") changed = { ...changed, ...edited(body) };
  if (action === "task") changed = answered(changed, entry);
  if (action === "part") {
    const part = { at, by, part: String(body.part ?? ""), quantity: Number(body.quantity ?? 1), waits: true };
    changed = { ...changed, parts: [...(order.parts ?? []), part] };
  }
  return changed.state !== order.state ? { ...changed, actions: mayNow(changed) } : changed;
}

const NO_FAILURE: Failure = { problem: null, cause: null, remedy: null, problem_code: null, cause_code: null, remedy_code: null, effect: null, downtime_minutes: null };

function stopped(order: WorkOrder, by: string): WorkOrder["clocks"] {
  return order.clocks?.filter((clock) => nameOf(clock.by) !== by);
}

function edited(body: Record<string, unknown>): Partial<WorkOrder> {
  const fields = ["title", "priority", "due", "description", "asset"] as const;
  return Object.fromEntries(fields.flatMap((name) => (name in body ? [[name, body[name]]] : [])));
}

/** The step with the result that waits, judged as the box will judge it (`TaskKind::judge`). */
function answered(order: WorkOrder, { body, at, who }: Entry): WorkOrder {
  const value = (body.value ?? null) as boolean | number | string | null;
  const tasks = (order.tasks ?? []).map((task): Task => {
    if (task.id !== body.task) return task;
    const skipped = body.skip === true;
    const result = { at, by: who.name, value, skipped, good: skipped ? null : judge(task, value), note: text(body.note), late: false, waits: true };
    return { ...task, result };
  });
  return { ...order, tasks };
}

export function judge(task: Task, value: boolean | number | string | null): boolean | null {
  if (task.kind === "check") return value === true;
  if (task.kind === "choice") return task.choices.find((choice) => choice.text === value)?.good ?? null;
  if (task.kind !== "number" || typeof value !== "number") return value === null ? null : true;
  return (task.low === null || value >= task.low) && (task.high === null || value <= task.high);
}

/** Orders that were made on this phone and are not on the box yet. */
export function newOrders(entries: Entry[]): WorkOrder[] {
  return entries.filter((entry) => entry.path === "/work-orders").map((entry) => orderWith(newOrder(entry), entries.filter((other) => other !== entry)));
}

/** Machines that were written down on this phone and are not on the box yet. */
export function newAssets(entries: Entry[]): Asset[] {
  return entries
    .filter((entry) => entry.path === "/assets" && entry.refused === null)
    .map(({ body }) => ({
      tag: String(body.tag ?? ""),
      name: String(body.name ?? body.tag ?? ""),
      parent: text(body.parent),
      criticality: null,
      class: null,
      location: null,
      provisional: null,
      waits: true,
    }));
}

/** The id that the box gives the order of this entry. */
export function orderIdOf(key: string): string {
  return uuid5(key, "work order");
}

function newOrder({ key, who, body, at }: Entry): WorkOrder {
  const order: WorkOrder = {
    id: orderIdOf(key),
    number: "New",
    title: String(body.title ?? ""),
    description: text(body.description),
    type: "corrective",
    priority: Number(body.priority ?? 3),
    state: body.request === true ? "requested" : "open",
    hold_reason: null,
    asset: text(body.asset),
    alert_id: text(body.alert),
    alert_ids: [],
    assignee: null,
    due: null,
    created_at: at,
    started_at: null,
    done_at: null,
    closed_at: null,
    created_by: who.name,
    gateway: null,
    site: null,
    needs_review: false,
    remedy: null,
    clocks: [],
  };
  return { ...order, actions: mayNow(order) };
}

export function alertWith(alert: Alert, entries: Entry[]): Alert {
  return entries
    .filter((entry) => entry.refused === null)
    .reduce((changed, entry) => {
      const action = actionOf(entry);
      const by = entry.who.name;
      if (action === "acknowledge" && changed.acknowledged_at === null) {
        const state = changed.state === "cleared" ? "closed" : "acknowledged";
        return { ...changed, state, acknowledged_at: entry.at, acknowledged_by: by } satisfies Alert;
      }
      if (action === "shelve") {
        const until = new Date(Date.parse(entry.at) + Number(entry.body.minutes ?? 0) * 60_000).toISOString();
        return { ...changed, shelved: { at: entry.at, by, reason: String(entry.body.reason ?? ""), until } };
      }
      if (action === "out-of-service") return { ...changed, out_of_service: { at: entry.at, by, reason: String(entry.body.reason ?? "") } };
      if (action === "unshelve") return { ...changed, shelved: null };
      if (action === "relearn") return { ...changed, learns_anew: { at: entry.at, by, reason: String(entry.body.reason ?? "") } };
      if (action === "in-service") return { ...changed, out_of_service: null };
      if (action === "comment") {
        const note = { at: entry.at, by, text: String(entry.body.text ?? ""), waits: true };
        return { ...changed, comments: [...(changed.comments ?? []), note] };
      }
      return changed;
    }, alert);
}

// The actions of a work order: what each is called, which fields it asks for. Which are allowed now says the server.
import { HOLD_REASON, PRIORITY } from "./words";

export interface Field {
  name: string;
  label: string;
  kind: "text" | "long" | "number" | "whole" | "choice" | "time";
  required?: boolean;
  options?: [value: string, words: string][];
  placeholder?: string;
  min?: number;
  max?: number;
  /** What stands there when the form opens. */
  value?: string | number | null;
  /** The choice is a number in the interface. */
  numeric?: boolean;
}
export interface OrderAction {
  action: string;
  /** On the button that opens the form, and on the one that sends it. */
  words: string;
  done: string;
  fields: Field[];
  danger?: boolean;
  /** Said above the fields. */
  about?: string;
}

const MINUTES_MAX = 1440;
const reason: Field = { name: "reason", label: "Why?", kind: "text", required: true };
const note: Field = { name: "note", label: "Note", kind: "text" };

export const ORDER_ACTIONS: Record<string, OrderAction> = {
  approve: { action: "approve", words: "Approve", done: "Approved", fields: [] },
  reject: { action: "reject", words: "Reject", done: "Rejected", fields: [reason], danger: true },
  start: { action: "start", words: "Start work", done: "Started", fields: [] },
  labour_start: { action: "labour_start", words: "Start my clock", done: "Clock started", fields: [] },
  labour_stop: { action: "labour_stop", words: "Stop my clock", done: "Clock stopped", fields: [] },
  resume: { action: "resume", words: "Go on working", done: "Resumed", fields: [] },
  complete: {
    action: "complete",
    words: "Complete",
    done: "Completed",
    fields: [
      { name: "remedy", label: "What was done?", kind: "long", placeholder: "Seal replaced, bearing greased" },
      { name: "minutes", label: "Minutes worked", kind: "whole", min: 1, max: MINUTES_MAX },
    ],
  },
  hold: {
    action: "hold",
    words: "Put on hold",
    done: "Put on hold",
    fields: [{ name: "reason", label: "Why?", kind: "choice", required: true, options: Object.entries(HOLD_REASON) }, note],
  },
  labour: {
    action: "labour",
    words: "Add minutes",
    done: "Minutes added",
    fields: [{ name: "minutes", label: "Minutes worked", kind: "whole", required: true, min: 1, max: MINUTES_MAX }, note],
  },
  part: {
    action: "part",
    words: "Add part",
    done: "Part added",
    fields: [
      { name: "part", label: "Part", kind: "text", required: true, placeholder: "Seal 45 × 62 × 8" },
      { name: "quantity", label: "How many", kind: "number", required: true, min: 0.001 },
    ],
  },
  failure: { action: "failure", words: "Failure report", done: "Failure report", fields: [] },
  sign: { action: "sign", words: "Sign", done: "Signed", fields: [] },
  checklist: { action: "checklist", words: "Add a checklist", done: "Checklist added", fields: [] },
  task: { action: "task", words: "Result", done: "Step", fields: [] },
  task_clear: { action: "task_clear", words: "Take back", done: "Result taken back", fields: [] },
  follow_up: {
    action: "follow_up",
    words: "Follow-up order",
    done: "Follow-up order",
    about: "A new order that goes on with what was found here.",
    fields: [
      { name: "title", label: "What is to be done?", kind: "text", required: true },
      { name: "description", label: "More", kind: "long" },
    ],
  },
  schedule: {
    action: "schedule",
    words: "Schedule",
    done: "Scheduled",
    fields: [
      { name: "from", label: "From", kind: "time", required: true },
      { name: "until", label: "Until", kind: "time" },
    ],
  },
  task_add: {
    action: "task_add",
    words: "Add a step",
    done: "Step added",
    fields: [
      { name: "title", label: "What is to be done?", kind: "text", required: true },
      { name: "kind", label: "The answer is", kind: "choice", required: true, value: "check", options: [["check", "Good or not good"], ["number", "A number"], ["text", "In words"], ["photo", "A photo"], ["signature", "A signature"]] },
      { name: "low", label: "Least good number", kind: "number" },
      { name: "high", label: "Greatest good number", kind: "number" },
    ],
  },
  verify: { action: "verify", words: "Verify", done: "Verified", about: "A second person looked at the work and found it right.", fields: [note] },
  reopen: { action: "reopen", words: "Reopen", done: "Reopened", fields: [reason] },
  close: { action: "close", words: "Close", done: "Closed", fields: [note] },
  cancel: { action: "cancel", words: "Cancel order", done: "Cancelled", fields: [reason], danger: true },
  assign: { action: "assign", words: "Assign", done: "Assigned", fields: [{ name: "name", label: "Who does it?", kind: "text", required: true }] },
  unassign: { action: "unassign", words: "Nobody does it", done: "Assigned to nobody", fields: [] },
  edit: {
    action: "edit",
    words: "Change",
    done: "Changed",
    fields: [
      { name: "title", label: "What is to be done?", kind: "text", required: true },
      { name: "priority", label: "How urgent?", kind: "choice", required: true, numeric: true, options: Object.entries(PRIORITY).map(([value, shown]) => [value, shown.word]) },
      { name: "due", label: "Due", kind: "time" },
      { name: "description", label: "More", kind: "long" },
    ],
  },
  duplicate: { action: "duplicate", words: "Is a duplicate", done: "Marked as a duplicate", fields: [] },
  review_done: { action: "review_done", words: "I have looked at it", done: "Reviewed", fields: [note] },
};

/** What is most likely next is the one main action. */
export const NEXT_AT_BOX = ["approve", "resume", "start", "complete", "verify", "close"];
export const NEXT_AT_HUB: Record<string, string> = { requested: "approve", done: "close" };

export type Values = Record<string, string | number | null | undefined>;

/** The body of an action from what was typed; empty optional fields are left out. */
export function bodyOf(action: OrderAction, values: Values): Record<string, string | number> {
  const body: Record<string, string | number> = {};
  for (const { name, kind, numeric } of action.fields) {
    const value = values[name];
    if (value === null || value === undefined || String(value).trim() === "") continue;
    if (kind === "whole") body[name] = Math.round(Number(value));
    else if (kind === "number" || numeric) body[name] = Number(value);
    else if (kind === "time") body[name] = new Date(String(value)).toISOString();
    else body[name] = String(value).trim();
  }
  return body;
}

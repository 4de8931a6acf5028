// The actions of a work order: what each is called, which fields it asks for. Which are allowed now says the server.
import { HOLD_REASON } from "./words";

export interface Field {
  name: string;
  label: string;
  kind: "text" | "long" | "number" | "whole" | "choice";
  required?: boolean;
  options?: [value: string, words: string][];
  placeholder?: string;
  min?: number;
  max?: number;
}
export interface OrderAction {
  action: string;
  /** On the button that opens the form, and on the one that sends it. */
  words: string;
  done: string;
  fields: Field[];
  danger?: boolean;
}

const MINUTES_MAX = 1440;
const reason: Field = { name: "reason", label: "Why?", kind: "text", required: true };

export const ORDER_ACTIONS: Record<string, OrderAction> = {
  approve: { action: "approve", words: "Approve", done: "Approved", fields: [] },
  reject: { action: "reject", words: "Reject", done: "Rejected", fields: [reason], danger: true },
  start: { action: "start", words: "Start work", done: "Started", fields: [] },
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
    fields: [
      { name: "reason", label: "Why?", kind: "choice", required: true, options: Object.entries(HOLD_REASON) },
      { name: "note", label: "Note", kind: "text" },
    ],
  },
  labour: {
    action: "labour",
    words: "Add minutes",
    done: "Minutes added",
    fields: [
      { name: "minutes", label: "Minutes worked", kind: "whole", required: true, min: 1, max: MINUTES_MAX },
      { name: "note", label: "Note", kind: "text" },
    ],
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
  reopen: { action: "reopen", words: "Reopen", done: "Reopened", fields: [reason] },
  close: { action: "close", words: "Close", done: "Closed", fields: [{ name: "note", label: "Note", kind: "text" }] },
  cancel: { action: "cancel", words: "Cancel order", done: "Cancelled", fields: [reason], danger: true },
};

/** What is most likely next is the one main action. */
export const NEXT_AT_BOX = ["resume", "start", "complete"];
export const NEXT_AT_HUB: Record<string, string> = { requested: "approve", done: "close" };

/** The body of an action from what was typed; empty optional fields are left out. */
export function bodyOf(action: OrderAction, values: Record<string, string | number | null | undefined>): Record<string, string | number> {
  const body: Record<string, string | number> = {};
  for (const { name, kind } of action.fields) {
    const value = values[name];
    if (value === null || value === undefined || String(value).trim() === "") continue;
    body[name] = kind === "whole" ? Math.round(Number(value)) : kind === "number" ? Number(value) : String(value).trim();
  }
  return body;
}

// What waits on the phone is shown as the box will take it, and marked.
import { expect, test } from "vitest";
import type { Alert, Task, WorkOrder } from "../shared/types";
import { alertWith, judge, newAssets, newOrders, orderIdOf, orderWith } from "./pending";
import type { Entry } from "./queue";

const KEY = "01900000-0000-7000-8000-000000000001";
let number = 0;
function entry(action: string, body: Record<string, unknown> = {}, more: Partial<Entry> = {}): Entry {
  number += 1;
  const path = `/work-orders/1/actions/${action}`;
  return { key: KEY, number, who: { id: "e", name: "Eva" }, record: "1", needs: null, path, body, file: null, words: "", at: "2026-11-30T12:00:00.000Z", refused: null, ...more };
}
const order = { id: "1", state: "open", started_at: null, done_at: null, closed_at: null, remedy: null, clocks: [], actions: ["start"], tasks: [], labour: [] } as unknown as WorkOrder;
const number_task = { id: "t", title: "Temperature", kind: "number", required: true, low: 10, high: 80, choices: [], result: null } as unknown as Task;

test("a whole life of an order without the box", () => {
  const begun = orderWith(order, [entry("labour_start")]);
  expect([begun.state, begun.clocks?.[0]?.by, begun.actions?.includes("complete")]).toEqual(["in_progress", "Eva", true]);
  const held = orderWith(order, [entry("labour_start"), entry("hold", { reason: "material" })]);
  expect([held.state, held.hold_reason, held.actions?.includes("resume")]).toEqual(["on_hold", "material", true]);
  const done = orderWith(order, [entry("labour_start"), entry("labour", { minutes: 20 }), entry("complete", { remedy: "Seal" })]);
  expect([done.state, done.remedy, done.clocks?.length, done.labour?.[0]?.minutes, done.labour?.[0]?.waits]).toEqual(["done", "Seal", 0, 20, true]);
});

test("who begins on another order has left this one, the clocks of others go on", () => {
  const elsewhere = entry("labour_start", {}, { record: "2", path: "/work-orders/2/actions/labour_start" });
  const both = { ...order, clocks: [{ by: "Eva", since: "" }, { by: "Jo", since: "" }] };
  expect(orderWith(both, [elsewhere]).clocks?.map((clock) => clock.by)).toEqual(["Jo"]);
  expect(orderWith(order, [entry("labour_start"), elsewhere, entry("labour_start")]).clocks?.map((clock) => clock.by)).toEqual(["Eva"]);
  expect(orderWith(order, [entry("complete", {}, { record: "2" })]).state).toBe("open");
});

test("a refused entry changes nothing that is shown", () => {
  const refused = { code: "not_now", title: "", detail: "", at: "" };
  expect(orderWith(order, [entry("start", {}, { refused })]).state).toBe("open");
});

test("a step is judged as the box judges it", () => {
  const with_task = { ...order, tasks: [number_task] };
  const answered = orderWith(with_task, [entry("task", { task: "t", value: 96.8 })]).tasks?.[0]?.result;
  expect([answered?.value, answered?.good, answered?.waits]).toEqual([96.8, false, true]);
  expect([judge(number_task, 10), judge(number_task, 80), judge(number_task, 9.9)]).toEqual([true, true, false]);
  const skipped = orderWith(with_task, [entry("task", { task: "t", skip: true, note: "no access" })]).tasks?.[0]?.result;
  expect([skipped?.skipped, skipped?.good, skipped?.note]).toEqual([true, null, "no access"]);
  const choice = { ...number_task, kind: "choice", choices: [{ text: "Dry", good: true }, { text: "Leaks", good: false }] } as Task;
  expect([judge(choice, "Dry"), judge(choice, "Leaks"), judge(choice, "Else")]).toEqual([true, false, null]);
});

test("a new order has the id that the box will give it, with what belongs to it", () => {
  const id = orderIdOf(KEY);
  const made = newOrders([entry("", { title: "Seal" }, { path: "/work-orders", record: id }), entry("comment", { text: "drips" }, { record: id, key: "k" })]);
  expect(made.map((one) => [one.id, one.number, one.state, one.comments?.[0]?.text, one.comments?.[0]?.waits])).toEqual([[id, "New", "open", "drips", true]]);
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab]/);
});

test("an acknowledged and a shelved alert", () => {
  const alert = { id: "1", state: "cleared", acknowledged_at: null, comments: [] } as unknown as Alert;
  expect(alertWith(alert, [entry("acknowledge")]).state).toBe("closed");
  expect(alertWith({ ...alert, state: "active" }, [entry("acknowledge")]).acknowledged_by).toBe("Eva");
  expect(alertWith(alert, [entry("shelve", { minutes: 60, reason: "known" })]).shelved).toMatchObject({ by: "Eva", until: "2026-11-30T13:00:00.000Z" });
  expect(alertWith(alert, [entry("relearn", { reason: "new pump" })]).learns_anew?.reason).toBe("new pump");
  expect(alertWith(alert, [entry("out-of-service", { reason: "broken" })]).out_of_service?.reason).toBe("broken");
});

test("a machine that was written down here", () => {
  expect(newAssets([entry("", { tag: "P-248" }, { path: "/assets" })]).map((asset) => [asset.tag, asset.name, asset.waits])).toEqual([["P-248", "P-248", true]]);
});

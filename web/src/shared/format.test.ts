// What people read must be right: numbers, ages and lengths of time.
import { expect, test } from "vitest";
import { columns, yRange } from "./chart";
import { age, bytes, counted, duration, isCode, number, roomDays } from "./format";
import { windowUnder } from "./touch";
import type { Point } from "./types";
import { historyWords } from "./words";

test("decimals follow the size of a value", () => {
  expect([0.2134, 5.123, 96.82, 1482.4, -12.34, 0].map(number)).toEqual(["0.213", "5.12", "96.8", "1,482", "-12.3", "0.00"]);
  expect(number(null)).toBe("–");
  expect(number(Number.NaN)).toBe("–");
});

test("the code of a text is not shown, the number of a state is", () => {
  expect([0, 1, -2, 65_535, null].map(isCode)).toEqual([false, false, false, false, false]);
  expect(isCode(0xba7816bf8f01)).toBe(true);
});

test("ages and lengths have at most two words", () => {
  const now = Date.UTC(2026, 10, 21, 14, 0, 0);
  expect(age(now - 2000, now)).toBe("just now");
  expect(age(now - 240_000, now)).toBe("4 min ago");
  expect(age(now + 7_200_000, now)).toBe("in 2 h");
  expect(duration(12_000_000)).toBe("3 h 20 min");
  expect(duration(3 * 86_400_000)).toBe("3 days");
});

test("room is never more exact than its estimate", () => {
  expect(roomDays(41.7)).toBe("41 days");
  expect(roomDays(0.25)).toBe("6 h");
  expect(roomDays(null)).toBe("");
});

test("counts and sizes", () => {
  expect(counted(1, "entry", "entries")).toBe("1 entry");
  expect(counted(0, "entry", "entries")).toBe("no entries");
  expect(bytes(12_400_000)).toBe("12.4 MB");
});

test("what lies under a finger stays under it", () => {
  // One finger moves 100 px to the right: the window goes 100 px back in time.
  expect(windowUnder([500], [600], 1000, 1000)).toEqual([-100, 900]);
  // Two fingers twice as far apart: half the span.
  expect(windowUnder([400, 600], [300, 700], 1000, 1000)).toEqual([250, 750]);
  expect(windowUnder([400, 600], [500, 505], 1000, 1000)).toBeNull();
  expect(windowUnder([400, 600], [700, 300], 1000, 1000)).toBeNull();
});

test("a history line reads as a sentence", () => {
  const line = { id: "", at: "", clock: "synchronised", by: "", origin: "hub", applied: true, note: null } as const;
  expect(historyWords({ ...line, what: "done", text: "seal replaced" })).toBe("Completed: seal replaced");
  expect(historyWords({ ...line, what: "assigned", text: "Lena" })).toBe("Assigned to Lena");
  expect(historyWords({ ...line, what: "field_set", text: "due: 1796119200000000" })).toMatch(/^Changed due: 1 Dec 2026/);
  expect(historyWords({ ...line, what: "started", text: null })).toBe("Work started");
  expect(historyWords({ ...line, what: "permit_issued", text: null })).toBe("Permit issued");
});

test("a bad reading and a gap break the line", () => {
  const points: Point[] = [
    [1000, 1, 1, 1, 0],
    [2000, null, null, null, 2],
    [9000, 3, 3, 3, 0],
  ];
  const [times, , , mean] = columns(points, [{ from: 4000, to: 8000, cause: "device off" }]);
  expect(times).toEqual([1000, 2000, 4001, 9000]);
  expect(mean).toEqual([1, null, null, 3]);
});

test("a near limit is in the picture, a far one does not flatten the data", () => {
  const points: Point[] = [
    [0, 80, 78, 82, 0],
    [1, 85, 84, 86, 0],
  ];
  const [low, high] = yRange(points, [{ name: "high", value: 90 }]);
  expect(low).toBeLessThan(78);
  expect(high).toBeGreaterThan(90);
  expect(yRange(points, [{ name: "far", value: 900 }])[1]).toBeLessThan(100);
});

// What this phone takes along, so that a person who walks out of the network has it: open alerts and orders with all
// their details, sensors. Read while the box answers, only what changed; never shown as live.
import { get, list } from "../shared/api";
import { calmly } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import type { Alert, Sensor, WorkOrder } from "../shared/types";
import { phoneMemory } from "./memory";

/** Details that are taken along of each kind, the first of the list; the rest is known by its row. */
const DETAILS_MAX = 60;
const ROWS_MAX = 400;
const EVERY_MS = 60_000;
const AFTER_CHANGE_MS = 3000;

/** Row of each record when its details were read last. */
const seen = new Map<string, string>();
let busy = false;

async function carryList<T extends { id: string }>(path: string, name: string, one: string): Promise<void> {
  const { rows } = await list<T>(path, { state: "open" }, ROWS_MAX);
  await phoneMemory.keep(name, rows);
  for (const row of rows.slice(0, DETAILS_MAX)) {
    const now = JSON.stringify(row);
    if (seen.get(row.id) === now) continue;
    await phoneMemory.keep(`${one} ${row.id}`, await get<T>(`${path}/${row.id}`));
    seen.set(row.id, now);
  }
}

async function carry(): Promise<void> {
  if (busy || document.visibilityState === "hidden") return;
  busy = true;
  try {
    await carryList<WorkOrder>("/work-orders", "orders open", "order");
    await carryList<Alert>("/alerts", "alerts open", "alert");
    await phoneMemory.keep("sensors", (await list<Sensor>("/sensors", {}, 5000)).rows);
  } catch {
    // The box does not answer: what was taken along before stays.
  }
  busy = false;
}

export function startCarrying(): () => void {
  const soon = calmly(() => void carry(), AFTER_CHANGE_MS);
  soon();
  const timer = setInterval(() => void carry(), EVERY_MS);
  const stops = [on("again", soon), on("work_order", soon), on("alert", soon)];
  return () => {
    clearInterval(timer);
    stops.forEach((stop) => stop());
  };
}

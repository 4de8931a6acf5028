// What is held back: shelved, out of service, suppressed by design, and what somebody works on. Read when the page shows it.
import { get, problemOf } from "../shared/api";
import { Loaded } from "../shared/load.svelte";
import type { AlarmPoint, Maintenance, Page } from "../shared/types";

interface Held {
  points: AlarmPoint[];
  maintenance: Maintenance[];
}

/** A box of an older build holds nothing back. */
async function orNothing<T>(path: string): Promise<T[]> {
  try {
    return (await get<Page<T>>(path)).data;
  } catch (error) {
    if (problemOf(error).status === 404) return [];
    throw error;
  }
}

export function heldBack(): Loaded<Held> {
  return new Loaded<Held>(async () => {
    const [points, maintenance] = await Promise.all([orNothing<AlarmPoint>("/alarms?state=held&limit=1000"), orNothing<Maintenance>("/maintenance")]);
    return { points, maintenance };
  }, "held");
}

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

/** Reasons that are pressed instead of typed. */
export const SHELVE_REASONS = ["Work on it is planned", "Known, a part is on order", "Sensor is being checked", "Nuisance, limit to be changed"];
export const SERVICE_REASONS = ["Sensor is broken", "Machine is taken down", "Being rebuilt"];
export const RELEARN_REASONS = ["The machine was changed", "Another product or recipe", "Another season", "It was wrong before"];
export const SHELVE_MINUTES: [minutes: number, words: string][] = [
  [30, "30 min"],
  [60, "1 h"],
  [240, "4 h"],
  [480, "8 h"],
  [1440, "24 h"],
];

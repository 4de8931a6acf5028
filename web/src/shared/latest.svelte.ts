// The newest reading of each sensor as the stream brings it, so that every value on a page moves without asking again.
import { SvelteMap } from "svelte/reactivity";
import { calmly } from "./load.svelte";
import { on } from "./live.svelte";
import type { Quality, Reading, Sensor } from "./types";

const newest = new SvelteMap<string, Reading>();

/** Readings come one by one, a thousand in a second on a large box; the page takes them together. */
const GATHER_MS = 300;
let came = new Map<string, Reading>();

function take(): void {
  const batch = came;
  came = new Map();
  for (const [id, reading] of batch) {
    const known = newest.get(id);
    if (!known || Date.parse(known.time) <= Date.parse(reading.time)) newest.set(id, reading);
  }
}
const takeCalmly = calmly(take, GATHER_MS);

on<Reading>("reading", (reading) => {
  came.set(reading.sensor_id, reading);
  takeCalmly();
});

/** What is known newest about a sensor: what was read with it, or what came since. */
export function latest(sensor: Sensor): { value: number | null; text: string | null; quality: Quality; words: string | null; time: string | null } {
  const newer = newest.get(sensor.id);
  if (newer && (!sensor.time || Date.parse(newer.time) > Date.parse(sensor.time))) {
    const words = newer.quality_words ?? (newer.quality === sensor.quality ? sensor.quality_words : null);
    return { value: newer.value, text: newer.text ?? null, quality: newer.quality, words, time: newer.time };
  }
  return { value: sensor.value, text: sensor.text ?? null, quality: sensor.quality ?? "bad", words: sensor.quality_words, time: sensor.time };
}

/** The newest reading of one sensor, also when the sensor itself is not on the page. */
export function latestReading(sensorId: string | null): Reading | undefined {
  return sensorId === null ? undefined : newest.get(sensorId);
}

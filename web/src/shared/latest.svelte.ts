// The newest reading of each sensor as the stream brings it, so that every value on a page moves without asking again.
import { SvelteMap } from "svelte/reactivity";
import { on } from "./live.svelte";
import type { Quality, Reading, Sensor } from "./types";

const newest = new SvelteMap<string, Reading>();

on<Reading>("reading", (reading) => {
  const known = newest.get(reading.sensor_id);
  if (!known || known.time <= reading.time) newest.set(reading.sensor_id, reading);
});

/** What is known newest about a sensor: what was read with it, or what came since. */
export function latest(sensor: Sensor): { value: number | null; quality: Quality; words: string | null; time: string | null } {
  const came = newest.get(sensor.id);
  if (came && (!sensor.time || Date.parse(came.time) > Date.parse(sensor.time))) {
    const words = came.quality === sensor.quality ? sensor.quality_words : null;
    return { value: came.value, quality: came.quality, words, time: came.time };
  }
  return { value: sensor.value, quality: sensor.quality, words: sensor.quality_words, time: sensor.time };
}

/** The newest reading of one sensor, also when the sensor itself is not on the page. */
export function latestReading(sensorId: string | null): Reading | undefined {
  return sensorId === null ? undefined : newest.get(sensorId);
}

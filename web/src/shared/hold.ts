// Words of holding an alarm back: reasons that are pressed instead of typed, and for how long.

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
/** As long as a box shelves that does not say otherwise, and the longest at the hub: a shift. */
export const SHELVE_MAX_MINUTES = 480;

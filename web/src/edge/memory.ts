// What the box said last, for when it does not answer: put under the name of what was read, given back with its time.
import type { Memory } from "../shared/load.svelte";
import { keepAnswer, recall, trimAnswers } from "./keep";

const TRIM_EVERY = 100;
let written = 0;

export const phoneMemory: Memory = {
  async recall(name) {
    // A phone without storage shows what a phone without memory shows.
    return recall(name).catch(() => null);
  },
  async keep(name, value) {
    try {
      await keepAnswer(name, value);
      written += 1;
      if (written % TRIM_EVERY === 0) await trimAnswers();
    } catch {
      // Full storage: entries of people come first, the memory does without.
    }
  },
};

// What there is to choose from: assets, parts with the box's stock, checklists, failure codes. Read once and when
// the box says that something changed; taken along for when it does not answer. Empty on a box without a site bundle.
import { get, problemOf } from "../shared/api";
import { Loaded } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import { nameOf } from "../shared/format";
import type { Asset, ChecklistOffer, FailureCode, Part, Reference } from "../shared/reference";
import type { Page } from "../shared/types";
import { box } from "./box.svelte";

const PAGES_MAX = 100;

export const reference = new Loaded<Reference>(async () => {
  const [assets, parts, checklists, failure_codes] = await Promise.all([
    all<Asset>("/assets"),
    all<Part>("/stock"),
    all<ChecklistOffer>("/checklists"),
    all<FailureCode>("/failure-codes"),
  ]);
  return { assets, parts, checklists, failure_codes };
}, "reference");

/** All pages of a list; none on a box of an older build, which has no such list. */
async function all<T>(path: string): Promise<T[]> {
  const rows: T[] = [];
  let cursor: string | null = null;
  try {
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const part: Page<T> = await get(path, PAGED.includes(path) ? { limit: 200, cursor } : {});
      rows.push(...part.data);
      cursor = part.next_cursor;
      if (cursor === null) break;
    }
  } catch (error) {
    if (problemOf(error).status !== 404) throw error;
  }
  return rows;
}
const PAGED = ["/assets", "/stock"];

const EVERY_MS = 5 * 60_000;
export function startReference(): () => void {
  void reference.refresh();
  const timer = setInterval(() => void reference.refresh(), EVERY_MS);
  const stop = on("again", () => void reference.refresh());
  return () => {
    clearInterval(timer);
    stop();
    reference.stop();
  };
}

/** All assets by tag: those of the bundle, and those that the configuration names. */
export function assets(): Asset[] {
  const known = reference.value?.assets ?? [];
  const tags = new Set(known.map((asset) => asset.tag));
  const named = new Set((box.value?.devices ?? []).map((device) => nameOf(device.asset)).filter((tag) => tag !== "" && !tags.has(tag)));
  return [...known, ...[...named].map((tag) => ({ tag, name: tag, parent: null, criticality: null, class: null, location: null, provisional: null }))];
}
export function assetOf(tag: string | null | undefined): Asset | undefined {
  return tag ? assets().find((asset) => asset.tag === tag) : undefined;
}

// What there is to choose from: assets, parts with the box's stock, checklists, failure codes, people. Read once and when
// the box says that something changed; taken along for when it does not answer. Empty on a box without a site bundle.
import { get, list, problemOf } from "../shared/api";
import { Loaded } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import { nameOf } from "../shared/format";
import type { Named } from "../shared/types";
import { box } from "./box.svelte";

export interface Asset {
  tag: string;
  name: string;
  parent: string | null;
  criticality: "A" | "B" | "C" | "D" | null;
  class: string | null;
  location: string | null;
  /** Made on a box; the hub has not taken it into its list yet. */
  provisional?: boolean;
  note?: string | null;
}
export interface Part {
  part: string;
  name: string;
  stock: number;
  unit: string;
  place: string | null;
  min: number | null;
}
export interface ChecklistOffer {
  id: string;
  version: number;
  title: string;
  class: string | null;
  steps: number;
}
export interface FailureCode {
  code: string;
  kind: "problem" | "cause" | "remedy";
  title: string;
  class: string | null;
  under: string | null;
}
interface Reference {
  bundle: { number: number; valid_until: string; validity: "valid" | "grace" | "ended" } | null;
  people: Named[];
  assets: Asset[];
  parts: Part[];
  checklists: ChecklistOffer[];
  failure_codes: FailureCode[];
}
const NOTHING: Reference = { bundle: null, people: [], assets: [], parts: [], checklists: [], failure_codes: [] };

export const reference = new Loaded<Reference>(async () => {
  try {
    const read = await get<Reference>("/reference");
    const [stock, made] = await Promise.all([stockNow(), madeHere()]);
    return {
      ...read,
      parts: read.parts.map((part) => ({ ...part, stock: stock.get(part.part) ?? part.stock })),
      assets: [...read.assets, ...made.filter((asset) => !read.assets.some((known) => known.tag === asset.tag))],
    };
  } catch (error) {
    if (problemOf(error).status === 404) return NOTHING;
    throw error;
  }
}, "reference");

/** The box's own count goes before that of the bundle, which is as old as the bundle. */
async function stockNow(): Promise<Map<string, number>> {
  const rows = await listOrNone<{ id: string; part: string; stock: number }>("/stock");
  return new Map(rows.map((row) => [row.part, row.stock]));
}
async function madeHere(): Promise<Asset[]> {
  const rows = await listOrNone<{ id: string; tag: string; name: string; parent: string | null; note: string | null; state: string }>("/assets");
  return rows
    .filter((row) => row.state === "provisional")
    .map(({ tag, name, parent, note }) => ({ tag, name, parent, note, criticality: null, class: null, location: null, provisional: true }));
}
async function listOrNone<T extends { id: string }>(path: string): Promise<T[]> {
  try {
    return (await list<T>(path, {}, 5000)).rows;
  } catch (error) {
    if (problemOf(error).status === 404) return [];
    throw error;
  }
}

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
  return [...known, ...[...named].map((tag) => ({ tag, name: tag, parent: null, criticality: null, class: null, location: null }))];
}
export function assetOf(tag: string | null | undefined): Asset | undefined {
  return tag ? assets().find((asset) => asset.tag === tag) : undefined;
}
/** Failure codes and checklists for a class come before those for all; those of other classes are left out. */
export function fitting<T extends { class: string | null }>(offers: T[], asset: Asset | undefined): T[] {
  return offers
    .filter((offer) => offer.class === null || offer.class === asset?.class)
    .sort((a, b) => Number(b.class !== null) - Number(a.class !== null));
}

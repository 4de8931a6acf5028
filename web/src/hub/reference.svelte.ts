// What there is to choose from for the orders of one gateway: its site's list, as the central team keeps it, and the stock there.
import { get, problemOf } from "../shared/api";
import { Loaded } from "../shared/load.svelte";
import type { Asset, ChecklistOffer, FailureCode, Part, Reference } from "../shared/reference";
import type { Page } from "../shared/types";

/** A row of the site's list: each cell a text, see docs/people.md. */
type Row = Record<string, string | null>;

export function referenceOf(site: string | undefined, gateway: string | undefined): Loaded<Reference> {
  return new Loaded<Reference>(async () => {
    const table = (kind: string) => (site ? rows<Row>(`/sites/${site}/reference/${kind}`) : Promise.resolve([]));
    const [assets, parts, checklists, codes] = await Promise.all([
      table("assets"),
      gateway ? rows<Part>(`/gateways/${gateway}/stock`) : Promise.resolve([]),
      table("checklists"),
      table("failure-codes"),
    ]);
    return { assets: assets.map(assetOf), parts, checklists: offersOf(checklists), failure_codes: codes.map(codeOf) };
  });
}

/** None where the site has no list yet. */
async function rows<T>(path: string): Promise<T[]> {
  try {
    return (await get<Page<T>>(path)).data;
  } catch (error) {
    if (problemOf(error).status === 404) return [];
    throw error;
  }
}
const text = (cell: string | null | undefined) => cell || null;

function assetOf(row: Row): Asset {
  const criticality = (["A", "B", "C", "D"] as const).find((letter) => letter === row.criticality) ?? null;
  return { tag: row.tag ?? "", name: row.name ?? "", parent: text(row.parent), criticality, class: text(row.class), location: text(row.location), provisional: null };
}
function codeOf(row: Row): FailureCode {
  const kind = (["problem", "cause", "remedy"] as const).find((word) => word === row.kind) ?? "problem";
  return { code: row.code ?? "", kind, title: row.title ?? "", class: text(row.class), under: text(row.under) };
}
/** The table has a row for each step; title and class stand in the first. */
function offersOf(table: Row[]): ChecklistOffer[] {
  const found = new Map<string, ChecklistOffer>();
  for (const row of table) {
    const id = row.checklist ?? "";
    const known = found.get(id) ?? { id, version: 0, title: "", class: null, steps: 0 };
    found.set(id, { ...known, title: known.title || (row.title ?? ""), class: known.class ?? text(row.class), steps: known.steps + 1 });
  }
  return [...found.values()];
}

// What there is to choose from at a site: machines, parts, checklists, failure codes. Shapes and rules only; each page reads its own.

export interface Asset {
  tag: string;
  name: string;
  parent: string | null;
  criticality: "A" | "B" | "C" | "D" | null;
  class: string | null;
  location: string | null;
  /** Made on a box; the central team has not taken it into its list yet. */
  provisional: { note: string | null; created_by: string; created_at: string; state: string } | null;
  /** On this phone, not yet on the box. */
  waits?: boolean;
}
export interface Part {
  part: string;
  name: string;
  stock: number;
  place: string | null;
  min: number | null;
  below_min: boolean;
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
export interface Reference {
  assets: Asset[];
  parts: Part[];
  checklists: ChecklistOffer[];
  failure_codes: FailureCode[];
}

/** Failure codes and checklists for a class come before those for all; those of other classes are left out. */
export function fitting<T extends { class: string | null }>(offers: T[], asset: { class: string | null } | undefined): T[] {
  return offers
    .filter((offer) => !offer.class || offer.class === asset?.class)
    .sort((a, b) => Number(Boolean(b.class)) - Number(Boolean(a.class)));
}

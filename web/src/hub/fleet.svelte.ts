// Sites and gateways, kept fresh for the whole app: counts in the rail, where a change goes, how complete the record is.
import { list } from "../shared/api";
import { clockTime } from "../shared/format";
import { calmly, Loaded } from "../shared/load.svelte";
import { on } from "../shared/live.svelte";
import { every } from "../shared/pace";
import type { Gateway, Site } from "../shared/types";

const REFRESH_MS = 30_000;

export const sites = new Loaded(async () => (await list<Site>("/sites")).rows);
export const gateways = new Loaded(async () => (await list<Gateway>("/gateways")).rows);

export function startFleet(): () => void {
  const readSites = calmly(() => void sites.refresh());
  const readBoth = calmly(() => {
    void sites.refresh();
    void gateways.refresh();
  });
  readBoth();
  const stops = [
    every(REFRESH_MS, readBoth),
    on("again", readBoth),
    on("alert", readBoth),
    on("work_order", readSites),
    on<Gateway>("gateway", (changed) => {
      const known = gateways.value;
      if (known?.some((gateway) => gateway.id === changed.id))
        gateways.set(known.map((gateway) => (gateway.id === changed.id ? { ...gateway, ...changed } : gateway)));
      else readBoth();
      readSites();
    }),
  ];
  return () => {
    stops.forEach((stop) => stop());
    sites.stop();
    gateways.stop();
  };
}

/** Sums over all sites; zero until they are known. */
export function totals(): { alerts: number; orders: number; away: number; gateways: number } {
  const rows = sites.value ?? [];
  const sum = (field: "alerts_active" | "orders_open" | "away" | "gateways") => rows.reduce((total, site) => total + site[field], 0);
  return { alerts: sum("alerts_active"), orders: sum("orders_open"), away: sum("away"), gateways: sum("gateways") };
}

/** Where a change goes that was stored at the hub just now. */
export function wayDown(gatewayId: string | undefined): string {
  const gateway = gateways.value?.find((one) => one.id === gatewayId);
  if (!gateway) return "";
  return gateway.state === "online" ? `It goes to ${gateway.name} now.` : `${gateway.name} is away and gets it when it is back.`;
}

export function gatewayWords(gateway: Gateway, now: number): string {
  switch (gateway.state) {
    case "online":
      return "online";
    case "away":
      return `away since ${clockTime(gateway.since ?? gateway.last_seen, now)}`;
    case "never_seen":
      return "never seen yet";
    case "revoked":
      return "revoked: may not connect";
  }
}

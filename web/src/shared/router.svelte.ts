// Addresses: one per page and per detail, by the history API (the server answers index.html for all of them).

const state = $state({ path: location.pathname, search: location.search });

function read(): void {
  state.path = location.pathname;
  state.search = location.search;
}

window.addEventListener("popstate", read);

// Plain links are enough in the pages: presses on own addresses are taken here.
document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  const anchor = (event.target as Element | null)?.closest?.("a[href]");
  if (!(anchor instanceof HTMLAnchorElement) || anchor.target || anchor.hasAttribute("download")) return;
  if (anchor.origin !== location.origin || anchor.pathname.startsWith("/api/") || anchor.hash) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
});

export function go(to: string): void {
  if (to !== location.pathname + location.search) history.pushState(null, "", to);
  const samePage = location.pathname === state.path;
  read();
  if (!samePage) {
    // A screen reader and the keyboard go on at the new page, not at the pressed link; the header stays in sight.
    document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
}

/** Writes a filter into the address without a new entry in the history. */
export function setQuery(values: Record<string, string>): void {
  const parameters = new URLSearchParams(state.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const search = parameters.size > 0 ? `?${parameters}` : "";
  history.replaceState(null, "", state.path + search);
  read();
}

export function path(): string {
  return state.path;
}

export function query(name: string): string {
  return new URLSearchParams(state.search).get(name) ?? "";
}

/** `parts()` of /alerts/17 is ["alerts", "17"]. */
export function parts(): string[] {
  return state.path.split("/").filter((part) => part !== "");
}

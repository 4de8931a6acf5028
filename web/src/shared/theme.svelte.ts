// Light or dark: follows the device unless the person chose; the choice stays on this device.

export type Theme = "auto" | "light" | "dark";
const KEY = "chatterfix.theme";
const device = window.matchMedia("(prefers-color-scheme: dark)");

const state = $state<{ choice: Theme; shown: "light" | "dark" }>({ choice: "auto", shown: "light" });

function show(): void {
  state.shown = state.choice === "auto" ? (device.matches ? "dark" : "light") : state.choice;
  document.documentElement.dataset.theme = state.shown;
}

export function startTheme(): void {
  const kept = localStorage.getItem(KEY);
  state.choice = kept === "light" || kept === "dark" ? kept : "auto";
  device.addEventListener("change", show);
  show();
}

export function theme(): Theme {
  return state.choice;
}

/** What is on screen now; charts redraw by it. */
export function shownTheme(): "light" | "dark" {
  return state.shown;
}

export function setTheme(choice: Theme): void {
  state.choice = choice;
  localStorage.setItem(KEY, choice);
  show();
}

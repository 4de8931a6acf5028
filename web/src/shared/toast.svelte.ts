// Short messages at the bottom of the page: what was stored and where, or what failed.

export interface Toast {
  id: number;
  tone: "calm" | "bad";
  title: string;
  text: string;
}
const CALM_MS = 4500;
const TOASTS_MAX = 3;

const state = $state<{ list: Toast[] }>({ list: [] });
let last = 0;

export function toasts(): Toast[] {
  return state.list;
}

/** Bad news stays until it is closed; good news makes way for the next, a phone has no room for a pile. */
export function toast(title: string, text = "", tone: Toast["tone"] = "calm"): void {
  last += 1;
  const id = last;
  const bad = state.list.filter((entry) => entry.tone === "bad");
  state.list = [...bad.slice(-(TOASTS_MAX - 1)), { id, tone, title, text }];
  if (tone === "calm") setTimeout(() => closeToast(id), CALM_MS);
}

export function closeToast(id: number): void {
  state.list = state.list.filter((entry) => entry.id !== id);
}

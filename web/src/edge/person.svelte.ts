// Who holds this phone. A name, kept on the phone; it is written beside every entry, it is not a sign-in.

const KEY = "chatterfix.person";
const state = $state<{ name: string; asking: boolean }>({ name: localStorage.getItem(KEY) ?? "", asking: false });
let waiting: ((name: string | null) => void)[] = [];

export function person(): string {
  return state.name;
}

export function asking(): boolean {
  return state.asking;
}

/** The name, asked for when it is not known; null when the person would not say. */
export function whoIsIt(): Promise<string | null> {
  if (state.name !== "") return Promise.resolve(state.name);
  state.asking = true;
  return new Promise((resolve) => waiting.push(resolve));
}

export function askAgain(): void {
  state.asking = true;
}

export function answer(name: string | null): void {
  if (name !== null) {
    state.name = name;
    localStorage.setItem(KEY, name);
  }
  state.asking = false;
  for (const resolve of waiting) resolve(name);
  waiting = [];
}

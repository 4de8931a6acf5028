// This page as a program on the phone: its service worker, the next version that waits, whether it opens without the box.
// Never throws away anything that was entered: entries are in the phone's storage, not in the page.

const state = $state<{ next: ServiceWorker | null; ready: boolean; install: InstallEvent | null }>({ next: null, ready: false, install: null });

interface InstallEvent extends Event {
  prompt(): Promise<unknown>;
}

/** Browsers give storage for pages only to secure ones: https, or this machine itself. */
export function isSecure(): boolean {
  return window.isSecureContext;
}
/** The page is on the phone and opens without the box. */
export function opensAlone(): boolean {
  return state.ready;
}
export function hasNext(): boolean {
  return state.next !== null;
}
export function mayInstall(): boolean {
  return state.install !== null;
}
export async function install(): Promise<void> {
  await state.install?.prompt();
  state.install = null;
}
/** The next version takes over; the page is loaded anew by it. */
export function useNext(): void {
  state.next?.postMessage("take over");
}

export async function startPage(): Promise<void> {
  window.addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    state.install = event as InstallEvent;
  });
  if (!isSecure() || !("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const controlled = navigator.serviceWorker.controller !== null;
  let reloaded = false;
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    // The first worker only adds itself; a later one brings another page.
    if (!controlled || reloaded) return;
    reloaded = true;
    location.reload();
  });
  try {
    const registration = await navigator.serviceWorker.register("/sw.js");
    const watch = (worker: ServiceWorker | null) => {
      const look = () => {
        if (worker?.state === "installed" && navigator.serviceWorker.controller) state.next = worker;
        if (worker?.state === "activated") state.ready = true;
      };
      worker?.addEventListener("statechange", look);
      look();
    };
    state.ready = registration.active !== null;
    // Nothing was pressed yet: what waits since the last visit takes over at once.
    if (registration.waiting && controlled) registration.waiting.postMessage("take over");
    watch(registration.installing);
    registration.addEventListener("updatefound", () => watch(registration.installing));
    const ask = () => document.visibilityState === "visible" && void registration.update().catch(() => {});
    document.addEventListener("visibilitychange", ask);
    setInterval(ask, UPDATE_MS);
  } catch (error) {
    console.warn("the page cannot be kept on this phone", error);
  }
}
const UPDATE_MS = 30 * 60_000;

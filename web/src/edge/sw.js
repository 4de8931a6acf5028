// The service worker: keeps the page itself (its files) on the phone, so that it opens while the box is out of reach.
// Never answers for the box: nothing under /api/ is kept or served here. The build writes VERSION and FILES.

const VERSION = "__VERSION__";
const FILES = __FILES__;
const CACHE = `page-${VERSION}`;
/** Pages that the box itself makes. */
const OF_THE_BOX = ["/api/", "/trust", "/ca.", "/c/"];

self.addEventListener("install", (event) => {
  // One file that fails fails the install: the version before goes on.
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(FILES.map((file) => new Request(file, { cache: "reload" })))));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    caches
      .keys()
      .then((names) => Promise.all(names.filter((name) => name.startsWith("page-") && name !== CACHE).map((name) => caches.delete(name))))
      .then(() => self.clients.claim()),
  );
});

self.addEventListener("message", (event) => {
  if (event.data === "take over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== self.location.origin) return;
  if (OF_THE_BOX.some((path) => url.pathname.startsWith(path))) return;
  // All addresses of the page are one file; which page it is, it knows itself.
  const file = request.mode === "navigate" ? "/index.html" : url.pathname;
  if (!FILES.includes(file)) return;
  event.respondWith(
    caches
      .open(CACHE)
      .then((cache) => cache.match(file))
      .then((kept) => kept ?? fetch(request)),
  );
});

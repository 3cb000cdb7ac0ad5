// Keeps the page, so that it opens where the instrument is off. What the instrument says is never kept.
// Browsers run this over https and on localhost only.
const CACHE = "panel-1";
const PAGE = ["/", "/app.js", "/style.css", "/manifest.webmanifest", "/icon.svg", "/icon-180.png", "/icon-512.png"];

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = caches.keys().then((names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name))));
  event.waitUntil(old.then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const path = new URL(event.request.url).pathname;
  if (event.request.method !== "GET" || !PAGE.includes(path)) return;
  // The newest page first; the kept one where there is no answer.
  event.respondWith(
    fetch(event.request)
      .then((response) => {
        if (response.ok) {
          const copy = response.clone();
          event.waitUntil(caches.open(CACHE).then((cache) => cache.put(path, copy)));
        }
        return response;
      })
      .catch(() => caches.match(path)),
  );
});

/** Answers from Cache Storage for everything that a start loads, as if there were no network; the rest goes there. */
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  if (event.request.headers.has('x-edgeship') || !new URL(event.request.url).pathname.includes('/start/')) return;
  event.respondWith(caches.open('edgeship').then((store) => store.match(event.request.url)).then((found) => found ?? Response.error()));
});

/** Answers for what the page kept in Cache Storage; everything else goes to the network. */
self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  if (event.request.method !== 'GET' || !new URL(event.request.url).pathname.includes('/start/')) return;
  event.respondWith(caches.open('edgeship').then((store) => store.match(event.request.url)).then((found) => found ?? fetch(event.request)));
});

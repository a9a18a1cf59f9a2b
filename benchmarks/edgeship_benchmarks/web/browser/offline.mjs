/** An offline start, as an installed web app has it: a service worker answers from Cache Storage. */

const CACHE = 'edgeship';
/** Says to the service worker, which may answer already, that this request fills the store. */
const FILL = { headers: { 'x-edgeship': 'fill' } };

/**
 * Keep these files and let the service worker answer for them.
 * @param {string[]} urls
 */
export async function offer(urls) {
  if (!navigator.serviceWorker) {
    throw { type: 'TargetUnavailable', message: 'service workers need a secure context, which http over a network is none' };
  }
  const store = await caches.open(CACHE);
  await Promise.all(urls.map(async (url) => {
    const found = await fetch(url, FILL);
    if (!found.ok) throw new Error(`${url}: HTTP ${found.status}`);
    await store.put(url, found);
  }));
  const controlled = new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
  await navigator.serviceWorker.register('service_worker.js');
  if (!navigator.serviceWorker.controller) await controlled;
  return {};
}

/** Leave nothing behind that answers for the network. */
export async function forget() {
  if (!navigator.serviceWorker) return;
  for (const registration of await navigator.serviceWorker.getRegistrations()) await registration.unregister();
  await caches.delete(CACHE);
}

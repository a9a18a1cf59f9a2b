/**
 * A service worker for pages that start without a network: the network first, then what was kept of it.
 *
 * Copy it to your site's root, or paste it into your own; `keepOffline` of the package registers it. It keeps pages,
 * scripts, styles and fonts of its own site, and what it is told to. Models and WebAssembly the package keeps itself, by
 * their content.
 */
interface Scope {
  skipWaiting(): Promise<void>;
  readonly clients: { claim(): Promise<void> };
  readonly location: Location;
  addEventListener(kind: string, listener: (event: Event) => void): void;
}
interface Extended extends Event {
  readonly request: Request;
  readonly data: { readonly keep?: readonly string[] } | null;
  readonly ports: readonly MessagePort[];
  waitUntil(work: Promise<unknown>): void;
  respondWith(answer: Promise<Response>): void;
}

const scope = globalThis as unknown as Scope;
const CACHE = "edgeship pages";
/** What a page is made of; what it asks for by `fetch`, such as answers for one person, is never kept by itself. */
const PARTS = ["document", "script", "worker", "style", "font", "manifest"];

/** An answer that is whole, may be kept, and is of this address: a browser takes no other one for a page. */
function fits(found: Response): boolean {
  return found.status === 200 && !found.redirected && !/no-store/i.test(found.headers.get("cache-control") ?? "");
}

/** Keep these addresses, and once all of them are here no others: what earlier versions were made of goes. */
async function keep(urls: readonly string[]): Promise<void> {
  const cache = await caches.open(CACHE);
  const got = await Promise.allSettled(
    urls.map(async (url) => {
      const found = await fetch(url);
      if (fits(found)) await cache.put(url, found);
    }),
  );
  if (got.some(({ status }) => status === "rejected")) return;
  for (const { url } of await cache.keys()) if (!urls.includes(url)) await cache.delete(url);
}

async function answer(event: Extended): Promise<Response> {
  const { request } = event;
  try {
    const found = await fetch(request);
    if (fits(found) && (request.mode === "navigate" || PARTS.includes(request.destination))) {
      const copy = found.clone();
      event.waitUntil(caches.open(CACHE).then((cache) => cache.put(request, copy)).catch(() => undefined));
    }
    return found;
  } catch (error) {
    const cache = await caches.open(CACHE);
    // Of a page what is behind the question mark may differ.
    const kept = (await cache.match(request, { ignoreVary: true })) ?? (request.mode === "navigate" ? await cache.match(request, { ignoreVary: true, ignoreSearch: true }) : undefined);
    if (kept === undefined) throw error;
    return kept;
  }
}

scope.addEventListener("install", () => void scope.skipWaiting());
scope.addEventListener("activate", (event) => {
  (event as Extended).waitUntil(scope.clients.claim());
});
scope.addEventListener("message", (event) => {
  const { data, ports } = event as Extended;
  if (!data?.keep) return;
  const work = keep(data.keep).then(() => {
    ports[0]?.postMessage({ kept: true });
  });
  (event as Extended).waitUntil(work);
});
scope.addEventListener("fetch", (event) => {
  const { request } = event as Extended;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== scope.location.origin) return;
  if (request.cache === "no-store") return; // of updates, for which an old answer is worse than none
  (event as Extended).respondWith(answer(event as Extended));
});

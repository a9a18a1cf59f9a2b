/**
 * A service worker for pages that start without a network: the network first, then what was kept of it.
 *
 * Copy it to your site's root, or paste it into your own; `keepOffline` of the package registers it. It keeps pages and
 * scripts of its own site. Models and WebAssembly it leaves alone: the package keeps them itself, by their content.
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
/** What the package keeps itself. */
const KEPT = /-[0-9a-f]{20}\.(wasm|bin|json|tflite)$/;

async function keep(urls: readonly string[]): Promise<void> {
  const cache = await caches.open(CACHE);
  await Promise.allSettled(
    urls.filter((url) => !KEPT.test(new URL(url).pathname)).map(async (url) => {
      const found = await fetch(url);
      if (found.ok) await cache.put(url, found);
    }),
  );
}

async function answer(request: Request): Promise<Response> {
  try {
    const found = await fetch(request);
    if (found.ok && found.status === 200) {
      const cache = await caches.open(CACHE);
      await cache.put(request, found.clone()).catch(() => undefined);
    }
    return found;
  } catch (error) {
    const exact = await caches.match(request, { ignoreVary: true });
    // Of a page what is behind the question mark may differ.
    const kept = exact ?? (request.mode === "navigate" ? await caches.match(request, { ignoreVary: true, ignoreSearch: true }) : undefined);
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
  if (request.method !== "GET" || url.origin !== scope.location.origin || KEPT.test(url.pathname)) return;
  if (request.cache === "no-store") return; // of updates, for which an old answer is worse than none
  (event as Extended).respondWith(answer(request));
});

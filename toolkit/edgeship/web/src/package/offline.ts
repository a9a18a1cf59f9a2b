/** Pages that start without a network: the service worker of the package, told what this page is made of. */
import { ModelError, text } from "../runtime/errors.ts";

/** A page is fetched once more meanwhile, mostly from the browser's own cache. */
const PATIENCE_MS = 60_000;
const REMEDY = "Copy sw.js of the package to your site, and allow it in worker-src of the page's policy.";
/** What a page asks for while it runs is not what it is made of. */
const ASKED = ["fetch", "xmlhttprequest", "beacon"];

/**
 * Register the package's `sw.js`, which keeps this page for starts without a network. Call it after `load`.
 *
 * @param script address of `sw.js` on this page's own site; it serves pages below its folder
 * @param more addresses that this page needs beyond what it has loaded by elements and imports
 * @throws ModelError worker-blocked
 */
export async function keepOffline(script: string | URL, more: readonly string[] = []): Promise<void> {
  const container = (globalThis as { navigator?: { serviceWorker?: ServiceWorkerContainer } }).navigator?.serviceWorker;
  if (container === undefined) throw blocked("there are no service workers here", "Serve the page over https, or from localhost.");
  let registration: ServiceWorkerRegistration;
  try {
    registration = await container.register(script);
  } catch (error) {
    throw blocked(`the service worker does not start: ${text(error)}`, REMEDY);
  }
  const { scope } = registration;
  if (!location.href.startsWith(scope)) throw blocked(`the service worker serves ${scope}, where this page is not`, "Put sw.js into the folder of the page, or one above it.");
  const loaded = performance.getEntriesByType("resource").filter((entry) => !ASKED.includes((entry as PerformanceResourceTiming).initiatorType));
  const all = [location.href, ...loaded.map(({ name }) => name), ...more].map((url) => new URL(url, document.baseURI));
  const keep = [...new Set(all.filter(({ origin }) => origin === location.origin).map(({ href }) => href.replace(/#.*/, "")))];
  const worker = await active(registration);
  await new Promise<void>((resolve, reject) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      resolve();
    };
    worker.postMessage({ keep }, [channel.port2]);
    setTimeout(() => {
      reject(blocked("the service worker does not answer", "Take sw.js of the package, or copy its parts `message` and `fetch` into your own."));
    }, PATIENCE_MS);
  });
}

function blocked(message: string, remedy: string): ModelError {
  return new ModelError("worker-blocked", message, remedy);
}

/** The worker of a registration, once one is in charge. */
function active(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  const coming = registration.installing ?? registration.waiting;
  return new Promise((resolve, reject) => {
    const look = (): void => {
      if (registration.active) resolve(registration.active);
      else if (!coming || coming.state === "redundant") reject(blocked("the service worker failed while it was installed", REMEDY));
    };
    coming?.addEventListener("statechange", look);
    look();
  });
}

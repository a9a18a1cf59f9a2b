/** Pages that start without a network: the service worker of the package, told what this page is made of. */
import { ModelError, text } from "../runtime/errors.ts";

/**
 * Register the package's `sw.js`, which keeps this page for starts without a network. Call it after `load`.
 *
 * @param script address of `sw.js` on this page's own site; it serves pages below its folder
 * @param more addresses that this page needs and has not loaded yet
 * @throws ModelError worker-blocked
 */
export async function keepOffline(script: string | URL, more: readonly string[] = []): Promise<void> {
  const container = (globalThis as { navigator?: { serviceWorker?: ServiceWorkerContainer } }).navigator?.serviceWorker;
  if (container === undefined) throw new ModelError("worker-blocked", "there are no service workers here", "Serve the page over https, or from localhost.");
  try {
    await container.register(script);
  } catch (error) {
    throw new ModelError("worker-blocked", `the service worker does not start: ${text(error)}`, "Copy sw.js of the package to your site, and allow it in worker-src of the page's policy.", { cause: error });
  }
  const { active } = await container.ready;
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  const urls = [...new Set([location.href, ...loaded, ...more])].filter((url) => url.startsWith(location.origin));
  const channel = new MessageChannel();
  const kept = new Promise<void>((resolve) => {
    channel.port1.onmessage = () => {
      resolve();
    };
  });
  active?.postMessage({ keep: urls }, [channel.port2]);
  await kept;
}

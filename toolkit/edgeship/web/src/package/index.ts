/** The package in browsers. The two literals below are the forms that bundlers know; they must stay literals. */
import { ADDRESSES } from "edgeship:addresses";
import type { LoadOptions } from "../public.ts";
import type { Session } from "../runtime/session.ts";
import { InPage, InWorker } from "./channel.ts";
import { loadOn, type Model } from "./model.ts";
import { keepOffline as keepPage } from "./offline.ts";
import type { Host } from "./starting.ts";

export { ModelError } from "../runtime/errors.ts";
export { DESCRIPTION as description } from "./description.ts";

declare const edgeshipImport: (url: string) => Promise<{ readonly Session: new () => Session }>;

/** What workers load, which the page does not see. */
const scripts = new Set<string>();

const HOST: Host = {
  urls: (base) =>
    Object.fromEntries(
      Object.entries(ADDRESSES).map(([path, literal]) => {
        const url = base === null ? literal() : new URL(path, base).href;
        if (path.endsWith(".js")) scripts.add(url);
        return [path, url];
      }),
    ),
  worker: (base) =>
    new InWorker(() => {
      if (base === null) return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      const script = new URL("worker.js", base);
      return new Worker(script, { type: "module" });
    }),
  page: async (base) => {
    const script = base === null ? ADDRESSES["worker.js"]?.() : new URL("worker.js", base).href;
    const { Session } = await edgeshipImport(script ?? "");
    return new InPage(new Session());
  },
};

export const keepOffline = (script: string | URL, more: readonly string[] = []): Promise<void> => keepPage(script, [...scripts, ...more]);

export function load(options: LoadOptions = {}): Promise<Model> {
  return loadOn(HOST, options);
}

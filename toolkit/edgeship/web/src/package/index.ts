/** The package in browsers. The two literals below are the forms that bundlers know; they must stay literals. */
import { ADDRESSES } from "edgeship:addresses";
import type { LoadOptions } from "../public.ts";
import type { Session } from "../runtime/session.ts";
import { InPage, InWorker } from "./channel.ts";
import { loadOn, type Model } from "./model.ts";
import type { Host } from "./starting.ts";

export { ModelError } from "../runtime/errors.ts";
export { keepOffline } from "./offline.ts";
export { DESCRIPTION as description } from "./description.ts";

declare const edgeshipImport: (url: string) => Promise<{ readonly Session: new () => Session }>;

const HOST: Host = {
  urls: (base) => Object.fromEntries(Object.entries(ADDRESSES).map(([path, literal]) => [path, base === null ? literal() : new URL(path, base).href])),
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

export function load(options: LoadOptions = {}): Promise<Model> {
  return loadOn(HOST, options);
}

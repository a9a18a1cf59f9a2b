/** The package in Node, where files are read from its folder and the model runs in a thread of its own. */
import { ADDRESSES } from "edgeship:addresses";
import type { LoadOptions } from "../public.ts";
import type { Session } from "../runtime/session.ts";
import { InPage, InWorker } from "./channel.ts";
import { loadOn, type Model } from "./model.ts";
import { read } from "./node_files.ts";
import { thread } from "./node_thread.ts";
import type { Host } from "./starting.ts";

export { ModelError } from "../runtime/errors.ts";
export { keepOffline } from "./offline.ts"; // it rejects; a page that a server renders imports it, too
export { DESCRIPTION as description } from "./description.ts";

const HOST: Host = {
  urls: (base) => Object.fromEntries(Object.entries(ADDRESSES).map(([path, literal]) => [path, base === null ? literal() : new URL(path, base).href])),
  worker: () => new InWorker(() => thread(new URL("./node-worker.js", import.meta.url))),
  page: async () => {
    const script = "./worker.js";
    const { Session } = (await import(script)) as { Session: new () => Session };
    return new InPage(new Session());
  },
  read,
};

export function load(options: LoadOptions = {}): Promise<Model> {
  return loadOn(HOST, options);
}

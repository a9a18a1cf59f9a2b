/** The package in Node, where files are read from its folder and the model runs in the thread that loads it. */
import { readFile } from "node:fs/promises";
import { ADDRESSES } from "edgeship:addresses";
import type { LoadOptions } from "../public.ts";
import { ModelError, text } from "../runtime/errors.ts";
import { overNetwork, type Reader } from "../runtime/files.ts";
import type { Session } from "../runtime/session.ts";
import { Blocked, InPage } from "./channel.ts";
import { loadOn, type Model } from "./model.ts";
import type { Host } from "./starting.ts";

export { ModelError } from "../runtime/errors.ts";
export { DESCRIPTION as description } from "./description.ts";

const read: Reader = async (url, asset, options) => {
  if (!url.startsWith("file:")) return overNetwork(url, asset, options);
  try {
    return new Uint8Array(await readFile(new URL(url), { signal: options.signal }));
  } catch (error) {
    options.signal.throwIfAborted();
    throw new ModelError("not-found", `${asset.path} cannot be read: ${text(error)}`, "Install the package again.", { cause: error });
  }
};

const HOST: Host = {
  urls: (base) => Object.fromEntries(Object.entries(ADDRESSES).map(([path, literal]) => [path, base === null ? literal() : new URL(path, base).href])),
  worker: () => {
    throw new Blocked("in Node the model runs in the thread that loads it; start worker_threads around it");
  },
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

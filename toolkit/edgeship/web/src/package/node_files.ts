/** Files of a package in Node, whose `fetch` opens none. */
import { readFile } from "node:fs/promises";
import { ModelError, text } from "../runtime/errors.ts";
import { overNetwork, type Reader } from "../runtime/files.ts";

export const read: Reader = async (url, asset, options) => {
  if (!url.startsWith("file:")) return overNetwork(url, asset, options);
  try {
    return new Uint8Array(await readFile(new URL(url), { signal: options.signal }));
  } catch (error) {
    options.signal.throwIfAborted();
    throw new ModelError("not-found", `${asset.path} cannot be read: ${text(error)}`, "Install the package again.", { cause: error });
  }
};

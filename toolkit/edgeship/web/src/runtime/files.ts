/** Files of the package: from this browser's store or the network, each held against its digest before anyone sees it. */
import type { Asset } from "./description.ts";
import { ModelError, text } from "./errors.ts";
import type { Progress } from "./progress.ts";
import { sha256 } from "./sha256.ts";
import type { Store } from "./store.ts";

export type Bytes = Uint8Array<ArrayBuffer>;
/** Reads the bytes of an address; Node's differs, whose `fetch` opens no files. */
export type Reader = (url: string, asset: Asset, options: ReadOptions) => Promise<Bytes>;

export interface ReadOptions {
  readonly signal: AbortSignal;
  /** Past every cache on the way. */
  readonly fresh: boolean;
  readonly onBytes: (loaded: number, status: "download" | "progress") => void;
}

const REPLACE = "Publish all files of the package again, as they are in it; purge caches in between.";

export class Files {
  readonly #base: Readonly<Record<string, string>>;
  readonly #store: Store;
  readonly #progress: Progress;
  readonly #signal: AbortSignal;
  readonly #read: Reader;
  readonly #kept: Promise<void>[] = [];

  /** @param urls where each asset lies, by its path in the package */
  constructor(urls: Readonly<Record<string, string>>, store: Store, progress: Progress, signal: AbortSignal, read: Reader = overNetwork) {
    this.#base = urls;
    this.#store = store;
    this.#progress = progress;
    this.#signal = signal;
    this.#read = read;
  }

  url(asset: Asset): string {
    const found = this.#base[asset.path];
    if (found === undefined) throw new ModelError("input", `no address of ${asset.path} is known`, "Install the package again.");
    return found;
  }

  /** Whatever is being stored is stored, or was given up. */
  async settled(): Promise<void> {
    await Promise.all(this.#kept);
  }

  /**
   * The bytes of an asset, which are the named ones.
   *
   * @throws ModelError not-found, network, truncated, wrong-hash, wrong-type; what is thrown for an abort
   */
  async get(asset: Asset): Promise<Bytes> {
    this.#progress.begin(asset.path, asset.bytes);
    const kept = await this.#store.get(asset.sha256);
    if (kept !== null) {
      if ((await sha256(kept)) === asset.sha256) {
        this.#progress.done(asset.path, true);
        return kept;
      }
      await this.#store.drop(asset.sha256);
    }
    const found = await this.#fetched(asset);
    this.#kept.push(this.#store.put(asset.sha256, found)); // while the model starts
    this.#progress.done(asset.path, false);
    return found;
  }

  /** Once more past the caches on the way, where what they gave is damaged. */
  async #fetched(asset: Asset): Promise<Bytes> {
    try {
      return await this.#once(asset, false);
    } catch (error) {
      if (!(error instanceof ModelError) || !["truncated", "wrong-hash", "wrong-type"].includes(error.code)) throw error;
      return this.#once(asset, true);
    }
  }

  async #once(asset: Asset, fresh: boolean): Promise<Bytes> {
    this.#signal.throwIfAborted();
    const onBytes: ReadOptions["onBytes"] = (loaded, status) => {
      this.#progress.advance(asset.path, loaded, status);
    };
    const found = await this.#read(this.url(asset), asset, { signal: this.#signal, fresh, onBytes });
    const digest = await sha256(found);
    if (digest === asset.sha256) return found;
    throw damaged(asset, found, `its SHA-256 is ${digest}`);
  }
}

/** What is wrong with bytes that are not the named ones. */
function damaged(asset: Asset, found: Uint8Array, why: string): ModelError {
  const start = new TextDecoder().decode(found.subarray(0, 200)).trimStart().toLowerCase();
  if (start.startsWith("<!doctype") || start.startsWith("<html")) {
    return new ModelError("wrong-type", `${asset.path}: a web page came in its place`, "Let the server answer 404 for what it has not, and publish the assets folder.");
  }
  if (found.length < asset.bytes) {
    return new ModelError("truncated", `${asset.path}: ${found.length} of ${asset.bytes} bytes came`, REPLACE);
  }
  return new ModelError("wrong-hash", `${asset.path} is not the file of this package: ${why}`, REPLACE);
}

/** By `fetch`; also `data:` addresses, which bundlers make of small files and a strict policy does not let `fetch` open. */
export const overNetwork: Reader = async (url, asset, options) => {
  if (url.startsWith("data:")) return fromDataUrl(url);
  const answer = await answered(url, asset, options);
  options.onBytes(0, "download");
  const reader = answer.body?.getReader();
  if (reader === undefined) return new Uint8Array(await answer.arrayBuffer());
  const found = new Uint8Array(asset.bytes);
  let loaded = 0;
  for (;;) {
    const { done, value } = await chunk(reader, asset, loaded);
    if (done) break;
    if (loaded + value.length > asset.bytes) {
      await reader.cancel();
      found.set(value.subarray(0, asset.bytes - loaded), loaded);
      throw damaged(asset, found, "it is longer");
    }
    found.set(value, loaded);
    loaded += value.length;
    options.onBytes(loaded, "progress");
  }
  if (loaded < asset.bytes) throw damaged(asset, found.subarray(0, loaded), "it is shorter");
  return found;
};

async function answered(url: string, asset: Asset, options: ReadOptions): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url, { signal: options.signal, credentials: "same-origin", cache: options.fresh ? "reload" : "default" });
  } catch (error) {
    options.signal.throwIfAborted();
    throw new ModelError("network", `${asset.path} could not be loaded: ${text(error)}`, "Check the connection, and that the page's policy (connect-src) allows its address.", { cause: error });
  }
  if (answer.ok) return answer;
  if (answer.status === 404 || answer.status === 410) {
    throw new ModelError("not-found", `${asset.path} is not there: HTTP ${answer.status} of ${url}`, "Publish the package's assets folder beside its script, or give its place as baseUrl.");
  }
  throw new ModelError("network", `${asset.path}: the server answers HTTP ${answer.status}`, "Try again later.");
}

async function chunk(reader: ReadableStreamDefaultReader<Uint8Array>, asset: Asset, loaded: number): Promise<ReadableStreamReadResult<Uint8Array>> {
  try {
    return await reader.read();
  } catch (error) {
    if (error instanceof Error && error.name === "AbortError") throw error;
    throw new ModelError("truncated", `${asset.path}: the connection ended after ${loaded} of ${asset.bytes} bytes`, "Try again.", { cause: error });
  }
}

function fromDataUrl(url: string): Bytes {
  const comma = url.indexOf(",");
  const content = url.slice(comma + 1);
  if (!url.slice(0, comma).endsWith(";base64")) return new TextEncoder().encode(decodeURIComponent(content));
  return Uint8Array.from(atob(decodeURIComponent(content)), (character) => character.charCodeAt(0));
}

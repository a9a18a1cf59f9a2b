/** `load` and what it gives, the same in browsers and in Node. */
import DESCRIPTION from "edgeship:description";
import type { Info, LoadOptions } from "../public.ts";
import type { Tensor } from "../runtime/description.ts";
import { ModelError, text } from "../runtime/errors.ts";
import type { Bytes, Reader } from "../runtime/files.ts";
import type { LoadRequest, Loaded } from "../runtime/session.ts";
import { Blocked, type Channel } from "./channel.ts";
import { classes, type Classification } from "./classes.ts";
import { take, type Input } from "./inputs.ts";

export interface Prediction {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly classes: readonly Classification[];
  readonly milliseconds: number;
}

/** Where a package runs. */
export interface Host {
  /** Addresses of assets by their path. */
  urls(base: URL | null): Record<string, string>;
  /** @throws Blocked */
  worker(base: URL | null): Channel;
  page(base: URL | null): Promise<Channel>;
  readonly read?: Reader;
}

export class Model {
  readonly info: Info;
  #channel: Channel | null;

  constructor(channel: Channel, info: Info) {
    this.#channel = channel;
    this.info = info;
  }

  async predict(input: Input | Readonly<Record<string, Input>>, options: { readonly signal?: AbortSignal } = {}): Promise<Prediction> {
    options.signal?.throwIfAborted();
    const begun = performance.now();
    const { inputs, transfer } = await take(input, DESCRIPTION);
    if (this.#channel === null) throw new ModelError("disposed", "the model was disposed of", "Load it again.");
    const outputs = await aborting(this.#channel.infer(inputs, transfer), options.signal);
    return { outputs, classes: classes(outputs, DESCRIPTION), milliseconds: performance.now() - begun };
  }

  dispose(): void {
    this.#channel?.dispose();
    this.#channel = null;
  }
}

/** @throws ModelError; the reason of `signal` where it was aborted */
export async function loadOn(host: Host, options: LoadOptions): Promise<Model> {
  const begun = performance.now();
  const abort = new AbortController();
  const onAbort = (): void => {
    abort.abort(options.signal?.reason);
  };
  options.signal?.throwIfAborted();
  options.signal?.addEventListener("abort", onAbort);
  try {
    const [channel, loaded] = await started(host, options, abort.signal);
    const milliseconds = { ...loaded.milliseconds, total: performance.now() - begun };
    const { name, version } = DESCRIPTION;
    return new Model(channel, { ...loaded, name, version, release: null, thread: channel.thread, milliseconds });
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

async function started(host: Host, options: LoadOptions, signal: AbortSignal): Promise<[Channel, Loaded]> {
  const base = options.baseUrl === undefined ? null : folder(options.baseUrl);
  const { updates } = options;
  const request: LoadRequest = {
    runtime: options.runtime ?? "auto",
    urls: host.urls(base),
    cache: options.cache ?? true,
    warmUp: options.warmUp ?? false,
    supplied: updates !== undefined,
  };
  const onProgress = options.onProgress ?? (() => undefined);
  const model = async (name: string): Promise<Bytes> => {
    if (updates === undefined || !("read" in updates)) throw new ModelError("input", "no files are supplied", "Give updates.");
    const found = await updates.read(name, { signal });
    return found.buffer instanceof ArrayBuffer && found.byteLength === found.buffer.byteLength ? (found as Bytes) : Uint8Array.from(found);
  };
  const hooks = { signal, onProgress, model, ...(host.read === undefined ? {} : { read: host.read }) };
  const attempt = async (make: () => Channel | Promise<Channel>): Promise<[Channel, Loaded]> => {
    const channel = await make();
    try {
      return [channel, await aborting(channel.load(request, hooks), signal)];
    } catch (error) {
      channel.dispose();
      throw error;
    }
  };
  const where = options.worker ?? "auto";
  if (where !== false) {
    try {
      return await attempt(() => host.worker(base));
    } catch (error) {
      if (!(error instanceof Blocked)) throw error;
      if (where === true) {
        throw new ModelError("worker-blocked", `no worker starts here: ${error.message}`, "Allow it in worker-src of the page's policy and publish worker.js, or leave worker at 'auto'.", { cause: error });
      }
    }
  }
  return attempt(async () => {
    try {
      return await host.page(base);
    } catch (error) {
      throw new ModelError("worker-blocked", `neither a worker nor its script starts here: ${text(error)}`, "Publish worker.js as text/javascript, allow it in script-src and worker-src, or give its place as baseUrl.", { cause: error });
    }
  });
}

function folder(given: string | URL): URL {
  const base = typeof document === "undefined" ? undefined : document.baseURI;
  try {
    const url = new URL(given, base);
    return url.pathname.endsWith("/") ? url : new URL(`${url.pathname}/`, url);
  } catch (error) {
    throw new ModelError("input", `baseUrl is no address: ${String(given)}`, "Give the address of the package's folder.", { cause: error });
  }
}

/** A promise that an abort ends earlier, with the signal's reason. */
async function aborting<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let stop: () => void = () => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as fetch does: whatever the reason is
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

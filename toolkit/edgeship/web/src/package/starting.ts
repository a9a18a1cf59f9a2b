/** From files to a model that answers: in a worker, or in the page where workers are blocked. */
import DESCRIPTION from "edgeship:description";
import type { LoadOptions, Notice } from "../public.ts";
import { isModelError, ModelError, text, type ErrorCode } from "../runtime/errors.ts";
import type { Bytes, Reader } from "../runtime/files.ts";
import type { Hooks, Loaded, LoadRequest } from "../runtime/session.ts";
import { aborting } from "./aborting.ts";
import { Blocked, type Channel } from "./channel.ts";
import { isSource, type Candidate, type Home, type Tried, type UpdateSource } from "./seam.ts";

/** Where a package runs. */
export interface Host {
  /** Addresses of assets by their path. */
  urls(base: URL | null): Record<string, string>;
  /** @throws Blocked */
  worker(base: URL | null): Channel;
  page(base: URL | null): Promise<Channel>;
  readonly read?: Reader;
}

/** A model that started. */
export interface Started {
  readonly channel: Channel;
  readonly loaded: Loaded;
  /** What it runs; null: the package's own files. */
  readonly release: Candidate | null;
}

/** Files of the model from elsewhere. */
interface Supply {
  readonly entry: string | null;
  read(name: string, signal: AbortSignal): Promise<Uint8Array>;
}

/** Of a start, those that the files of the model cannot be blamed for. */
const NOT_ITS_FAULT: readonly ErrorCode[] = ["not-found", "network", "truncated", "wrong-hash", "wrong-type", "worker-blocked"];

/** One `load`. */
export class Starting {
  readonly #host: Host;
  readonly #options: LoadOptions;
  readonly #base: URL | null;

  /** @throws ModelError input */
  constructor(host: Host, options: LoadOptions) {
    this.#host = host;
    this.#options = options;
    this.#base = options.baseUrl === undefined ? null : folder(options.baseUrl);
  }

  /** The newest release that starts, or the package's own files. @throws ModelError; the reason of `signal` */
  async run(signal: AbortSignal): Promise<Started> {
    const { updates } = this.#options;
    if (isSource(updates)) return this.#newest(updates, signal);
    const supply = updates && "read" in updates ? { entry: null, read: (name: string, of: AbortSignal) => updates.read(name, { signal: of }) } : null;
    return { ...(await this.#start(supply, signal)), release: null };
  }

  async #newest(source: UpdateSource, signal: AbortSignal): Promise<Started> {
    const notices: Notice[] = [];
    for (let release = await source.open(this.#home()); release !== null; release = await source.open(this.#home())) {
      try {
        const found = await this.#start(supplied(release), signal);
        await source.ended("started");
        return { ...noticed(found, notices), release };
      } catch (error) {
        const blamed = isModelError(error) && !NOT_ITS_FAULT.includes(error.code) && !signal.aborted;
        await source.ended(blamed ? "failed" : "stopped", blamed ? error : undefined);
        if (!blamed) throw error;
        notices.push({ code: "release-failed", message: `${release.version} does not start: ${error.message}`, remedy: "What ran before it runs; look at the release." });
      }
    }
    return { ...noticed(await this.#start(null, signal), notices), release: null };
  }

  #home(): Home {
    const { runtime = "auto", cache = true } = this.#options;
    const used = DESCRIPTION.runtimes.filter(({ name }) => runtime === "auto" || name === runtime);
    return {
      description: DESCRIPTION,
      variants: [...new Set(used.map(({ variant }) => variant))],
      urls: this.#host.urls(this.#base),
      cache,
      read: this.#host.read,
      attempt: (candidate, samples, signal) => this.#attempt(candidate, samples, signal),
    };
  }

  async #attempt(candidate: Candidate, samples: Parameters<Home["attempt"]>[1], signal: AbortSignal): Promise<Tried> {
    const { channel, loaded } = await this.#start(supplied(candidate), signal, false);
    try {
      const outputs: Tried["outputs"][number][] = [];
      for (const sample of samples) {
        const given = Object.fromEntries(Object.entries(sample).map(([name, tensor]) => [name, { tensor }]));
        outputs.push(await aborting(channel.infer(given, []), signal));
      }
      return { runtime: loaded.runtime, outputs };
    } finally {
      channel.dispose();
    }
  }

  async #start(supply: Supply | null, signal: AbortSignal, told = true): Promise<{ channel: Channel; loaded: Loaded }> {
    const { runtime = "auto", cache = true, warmUp = false, onProgress = () => undefined, worker = "auto" } = this.#options;
    const request: LoadRequest = { runtime, urls: this.#host.urls(this.#base), cache, warmUp: warmUp && told, supplied: supply !== null, entry: supply?.entry ?? null };
    const model = async (name: string): Promise<Bytes> => {
      if (supply === null) throw new ModelError("input", "no files are supplied", "Give updates.");
      const found = await supply.read(name, signal);
      return found.buffer instanceof ArrayBuffer && found.byteLength === found.buffer.byteLength ? (found as Bytes) : Uint8Array.from(found);
    };
    const { read } = this.#host;
    const hooks: Hooks = { signal, onProgress: told ? onProgress : () => undefined, model, ...(read === undefined ? {} : { read }) };
    if (worker !== false) {
      try {
        return await attempted(() => this.#host.worker(this.#base), request, hooks);
      } catch (error) {
        if (!(error instanceof Blocked)) throw error;
        if (worker === true) {
          throw new ModelError("worker-blocked", `no worker starts here: ${error.message}`, "Allow it in worker-src of the page's policy and publish worker.js, or leave worker at 'auto'.", { cause: error });
        }
      }
    }
    return attempted(() => this.#inPage(), request, hooks);
  }

  async #inPage(): Promise<Channel> {
    try {
      return await this.#host.page(this.#base);
    } catch (error) {
      throw new ModelError("worker-blocked", `neither a worker nor its script starts here: ${text(error)}`, "Publish worker.js as text/javascript, allow it in script-src and worker-src, or give its place as baseUrl.", { cause: error });
    }
  }
}

async function attempted(make: () => Channel | Promise<Channel>, request: LoadRequest, hooks: Hooks): Promise<{ channel: Channel; loaded: Loaded }> {
  hooks.signal.throwIfAborted();
  const channel = await make();
  try {
    return { channel, loaded: await aborting(channel.load(request, hooks), hooks.signal) };
  } catch (error) {
    channel.dispose();
    throw error;
  }
}

const supplied = ({ entry, files, version }: Candidate): Supply => ({
  entry,
  read: (name) => {
    const found = files.get(name);
    if (found === undefined) return Promise.reject(new ModelError("input", `the release ${version} has no file ${name}`, "Publish it anew."));
    return Promise.resolve(found.slice()); // it is handed over, and may be started twice
  },
});

const noticed = (found: { channel: Channel; loaded: Loaded }, notices: readonly Notice[]): { channel: Channel; loaded: Loaded } => ({
  channel: found.channel,
  loaded: { ...found.loaded, notices: [...notices, ...found.loaded.notices] },
});

function folder(given: string | URL): URL {
  const base = typeof document === "undefined" ? undefined : document.baseURI;
  try {
    const url = new URL(given, base);
    return url.pathname.endsWith("/") ? url : new URL(`${url.pathname}/`, url);
  } catch (error) {
    throw new ModelError("input", `baseUrl is no address: ${String(given)}`, "Give the address of the package's folder.", { cause: error });
  }
}

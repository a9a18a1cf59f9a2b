/** A model from its files to its predictions, wherever it runs: in a worker, in the page, in Node. */
import { RUNTIMES as BUILTIN } from "edgeship:builtin";
import DESCRIPTION from "edgeship:description";
import type { Notice } from "../public.ts";
import type { Asset, Pixels, RuntimeFiles, RuntimeName, Tensor } from "./description.ts";
import type { Engine, Runtime, Runtimes } from "./engine.ts";
import { isModelError, ModelError, text } from "./errors.ts";
import { Files, type Bytes, type Reader } from "./files.ts";
import { prepare } from "./prepare.ts";
import { Progress, type ProgressEvent } from "./progress.ts";
import { Store } from "./store.ts";

/** Written before the bundle, so that bundlers of others leave its `import` as it is. */
declare const edgeshipImport: (url: string) => Promise<{ readonly RUNTIMES: Runtimes }>;

/** What one load is asked for; it can be posted to a worker. */
export interface LoadRequest {
  readonly runtime: RuntimeName | "auto";
  /** Where assets lie, by their path in the package. */
  readonly urls: Readonly<Record<string, string>>;
  readonly cache: boolean;
  readonly warmUp: boolean;
  /** Whether `Hooks.model` gives the files of the model. */
  readonly supplied: boolean;
  /** Of those files the one that runtimes open; null: of the same name as the package's own. */
  readonly entry: string | null;
}

/** What whoever loads does for the session meanwhile. */
export interface Hooks {
  readonly signal: AbortSignal;
  onProgress(event: ProgressEvent): void;
  /** The bytes of a file of the model, verified. @param name as in the build: `model.json` */
  model(name: string): Promise<Bytes>;
  /** Opens addresses; by default over the network. */
  readonly read?: Reader;
}

/** How a load went. */
export interface Loaded {
  readonly runtime: RuntimeName;
  readonly facts: Readonly<Record<string, string>>;
  /** What did not work and did not matter, such as a store that is full. */
  readonly notices: readonly Notice[];
  readonly milliseconds: { readonly files: number; readonly start: number };
}

/** An array as the model takes it, or an image to prepare. */
export type Given = { readonly tensor: Tensor } | { readonly pixels: Pixels } | { readonly bitmap: ImageBitmap };

export class Session {
  #engine: Engine | null = null;
  /** Inferences take turns. */
  #last: Promise<unknown> = Promise.resolve();

  async load(request: LoadRequest, hooks: Hooks): Promise<Loaded> {
    const store = await Store.open(DESCRIPTION.name, request.cache);
    const progress = new Progress((event) => {
      hooks.onProgress(event);
    });
    const files = new Files(request.urls, store, progress, hooks.signal, hooks.read);
    const refused: string[] = [];
    for (const candidate of candidates(request)) {
      try {
        const found = await this.#start(candidate, request, files, hooks, progress);
        const needed = DESCRIPTION.runtimes.flatMap((runtime) => assets(runtime).map((asset) => asset.sha256));
        await files.settled(); // it was stored while the model started: a page that leaves now starts warm
        void store.keepOnly(new Set(needed)); // nobody waits for what is only tidying
        if (request.warmUp) await this.infer(blank());
        progress.ready();
        return { ...found, notices: store.notices };
      } catch (error) {
        if (!isModelError(error) || error.code !== "unsupported-runtime" || request.runtime !== "auto") throw error;
        refused.push(error.message);
      }
    }
    throw new ModelError("unsupported-runtime", `no runtime of this package works here: ${refused.join("; ")}`, "Use a browser with WebAssembly, and allow 'wasm-unsafe-eval' in the page's policy.");
  }

  /** Outputs by name. Inputs are as `load` described them; nothing is checked again here. */
  async infer(inputs: Readonly<Record<string, Given>>): Promise<Record<string, Tensor>> {
    const turn = this.#last.then(async () => {
      if (this.#engine === null) throw new ModelError("disposed", "the model was disposed of", "Load it again.");
      return this.#engine.infer(prepared(inputs));
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  dispose(): void {
    this.#engine?.dispose();
    this.#engine = null;
  }

  async #start(files_: RuntimeFiles, request: LoadRequest, files: Files, hooks: Hooks, progress: Progress): Promise<Omit<Loaded, "notices">> {
    const begun = performance.now();
    const model = request.supplied ? supplied(files_, hooks, progress) : gotten(files_.model, Object.keys(files_.model), files);
    model.catch(() => undefined); // thrown below, where it is awaited
    const runtime = await runtimeOf(files_, files);
    const wasm = await gotten(files_.wasm, runtime.wasmNeeded(), files);
    const start = { description: DESCRIPTION, model: await model, wasm };
    const there = performance.now();
    hooks.signal.throwIfAborted();
    this.#engine = await started(runtime, start);
    return { runtime: files_.name, facts: this.#engine.facts, milliseconds: { files: there - begun, start: performance.now() - there } };
  }
}

async function started(runtime: Runtime, given: Parameters<Runtime["start"]>[0]): Promise<Engine> {
  try {
    return await runtime.start(given);
  } catch (error) {
    if (isModelError(error)) throw error;
    throw new ModelError("runtime-failed", `the model cannot be opened: ${text(error)}`, "Take another runtime of this package.", { cause: error });
  }
}

function candidates({ runtime: wanted, entry }: LoadRequest): readonly RuntimeFiles[] {
  const found = DESCRIPTION.runtimes.filter((runtime) => wanted === "auto" || runtime.name === wanted);
  const opening = found.filter(({ model }) => entry === null || entry in model);
  if (opening.length) return opening;
  if (found.length) throw new ModelError("unsupported-runtime", `none of ${found.map((runtime) => runtime.name).join(", ")} opens ${entry ?? ""}`, "Leave runtime at 'auto'.");
  const held = DESCRIPTION.runtimes.map((runtime) => runtime.name).join(", ");
  throw new ModelError("unsupported-runtime", `this package does not hold ${wanted}`, `It holds ${held}; others come with: edgeship bundle --runtime ${wanted}.`);
}

function assets(runtime: RuntimeFiles): Asset[] {
  return [...Object.values(runtime.model), ...Object.values(runtime.wasm), ...(runtime.module ? [runtime.module] : [])];
}

async function runtimeOf({ name, module }: RuntimeFiles, files: Files): Promise<Runtime> {
  let held: Runtimes = BUILTIN;
  if (module !== null) {
    await files.get(module);
    try {
      held = (await edgeshipImport(files.url(module))).RUNTIMES;
    } catch (error) {
      throw new ModelError("wrong-type", `${module.path} is no script here: ${text(error)}`, "Serve .js as text/javascript, and allow the address in script-src of the page's policy.", { cause: error });
    }
  }
  const found = held[name];
  if (found === undefined) throw new ModelError("unsupported-runtime", `the package lacks ${name}`, "Install the package again.");
  return found;
}

async function gotten(all: Readonly<Record<string, Asset>>, names: readonly string[], files: Files): Promise<Map<string, Bytes>> {
  const pairs = names.map(async (name): Promise<[string, Bytes]> => {
    const asset = all[name];
    if (asset === undefined) throw new ModelError("unsupported-runtime", `the package lacks the WebAssembly '${name}'`, "Use a newer browser.");
    return [name, await files.get(asset)];
  });
  return new Map(await Promise.all(pairs));
}

/** The model from elsewhere; of a TF.js model the entry names the other files. */
async function supplied(runtime: RuntimeFiles, hooks: Hooks, progress: Progress): Promise<Map<string, Bytes>> {
  const [entry = ""] = Object.keys(runtime.model);
  const get = async (name: string): Promise<Bytes> => {
    progress.begin(name, 0);
    const found = await hooks.model(name);
    progress.advance(name, found.length);
    progress.done(name, false);
    return found;
  };
  const first = await get(entry);
  const found = new Map([[entry, first]]);
  if (entry.endsWith(".json")) {
    const { weightsManifest } = JSON.parse(new TextDecoder().decode(first)) as { weightsManifest: { paths: string[] }[] };
    const paths = weightsManifest.flatMap((group) => group.paths);
    const contents = await Promise.all(paths.map(get));
    paths.forEach((path, k) => found.set(path, contents[k] ?? new Uint8Array()));
  }
  return found;
}

function prepared(inputs: Readonly<Record<string, Given>>): Record<string, Tensor> {
  const found: Record<string, Tensor> = {};
  for (const spec of DESCRIPTION.inputs) {
    const given = inputs[spec.name];
    if (given === undefined) throw new ModelError("input", `the input '${spec.name}' is missing`, "Give every input.");
    if ("tensor" in given) {
      found[spec.name] = given.tensor;
      continue;
    }
    const { image } = spec;
    if (image === null) throw new ModelError("input", `'${spec.name}' takes no images`, "Give a typed array.");
    const pixels = "pixels" in given ? given.pixels : drawn(given.bitmap);
    const values = prepare(pixels, image, spec.dtype);
    found[spec.name] = { values, shape: [1, image.height, image.width, values.length / (image.height * image.width)] };
  }
  return found;
}

/** The pixels of an image; it is closed. */
function drawn(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  try {
    const canvas = typeof OffscreenCanvas === "undefined" ? Object.assign(document.createElement("canvas"), { width, height }) : new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d", { willReadFrequently: true }) as CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D | null;
    if (context === null) throw new ModelError("input", "this browser gives no canvas to read the image with", "Give ImageData.");
    context.drawImage(bitmap, 0, 0);
    return { data: context.getImageData(0, 0, width, height).data, width, height };
  } finally {
    bitmap.close();
  }
}

/** Zeros for every input. */
function blank(): Record<string, Given> {
  const tensor = (shape: readonly (number | null)[], dtype: string): Tensor => {
    const sizes = shape.map((size) => size ?? 1);
    const count = sizes.reduce((a, b) => a * b, 1);
    const values = dtype === "float32" ? new Float32Array(count) : dtype === "int32" ? new Int32Array(count) : new Uint8Array(count);
    return { values, shape: sizes };
  };
  return Object.fromEntries(DESCRIPTION.inputs.map((spec) => [spec.name, { tensor: tensor(spec.shape, spec.dtype) }]));
}

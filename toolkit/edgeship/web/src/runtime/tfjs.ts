/** Graph models in TF.js, whatever the backend: only what an inference needs of its core and converter. */
import { dispose, env, getBackend, ready, registerKernel, setBackend, tensor, type TfTensor } from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-converter/dist/flags";
import { decodeWeights } from "@tensorflow/tfjs-core/dist/io/io_utils";
import { GraphExecutor } from "@tensorflow/tfjs-converter/dist/executor/graph_executor";
import { OperationMapper } from "@tensorflow/tfjs-converter/dist/operations/operation_mapper";
import type { Description, Dtype, Tensor, Values } from "./description.ts";
import type { Engine, Start } from "./engine.ts";
import { ModelError, text } from "./errors.ts";
import type { Bytes } from "./files.ts";

interface GraphFile {
  readonly modelTopology: unknown;
  readonly signature: unknown;
  readonly weightsManifest: readonly { readonly paths: readonly string[]; readonly weights: readonly unknown[] }[];
}

/** TF.js asks these of the place it runs in; it loads nothing by itself. */
function settle(): void {
  env().setPlatform("edgeship", {
    fetch: () => Promise.reject(new Error("TF.js loads nothing by itself here")),
    now: () => performance.now(),
    encode: (words) => new TextEncoder().encode(words),
    decode: (bytes) => new TextDecoder().decode(bytes),
    setTimeoutCustom: (callback, delay) => void setTimeout(callback, delay),
    isTypedArray: (value) => value instanceof Float32Array || value instanceof Int32Array || value instanceof Uint8Array || value instanceof Uint8ClampedArray,
  });
}

/** Backends that were registered in this thread: its models share them. */
const registered = new Map<string, Promise<void>>();

async function registerAll(kernels: readonly unknown[], register: () => unknown): Promise<void> {
  settle();
  kernels.forEach(registerKernel);
  await register();
}

/** @param register makes the backend known to TF.js */
export async function startTFJS(given: Start, name: string, kernels: readonly unknown[], register: () => unknown): Promise<Engine> {
  const registering = registered.get(name) ?? registerAll(kernels, register);
  registered.set(name, registering);
  try {
    await registering;
  } catch (error) {
    registered.delete(name);
    throw error;
  }
  let begun = false;
  try {
    begun = await setBackend(name);
    await ready();
  } catch (error) {
    throw unsupported(name, text(error));
  }
  if (!begun || getBackend() !== name) throw unsupported(name, "it does not start");
  return new TFJSEngine(given.description, opened(given.model), { runtime: `tfjs-${name}` });
}

export function unsupported(name: string, why: string): ModelError {
  return new ModelError("unsupported-runtime", `TF.js cannot use ${name} in this browser: ${why}`, "Take runtime: 'auto', or another one that the package holds.");
}

function opened(model: ReadonlyMap<string, Bytes>): GraphExecutor {
  const [entry] = model.values();
  const file = JSON.parse(new TextDecoder().decode(entry)) as GraphFile;
  const shards = file.weightsManifest.flatMap((group) => group.paths).map((path) => {
    const found = model.get(path);
    if (found === undefined) throw new ModelError("input", `the model names the file ${path}, which is not there`, "Install the package again.");
    return found.byteLength === found.buffer.byteLength ? found.buffer : found.slice().buffer;
  });
  const executor = new GraphExecutor(OperationMapper.Instance.transformGraph(file.modelTopology, file.signature));
  const weights = decodeWeights(shards, file.weightsManifest.flatMap((group) => group.weights));
  executor.weightMap = Object.fromEntries(Object.entries(weights).map(([key, value]) => [key, [value]]));
  return executor;
}

class TFJSEngine implements Engine {
  readonly facts: Readonly<Record<string, string>>;
  readonly #description: Description;
  readonly #executor: GraphExecutor;

  constructor(description: Description, executor: GraphExecutor, facts: Record<string, string>) {
    this.#description = description;
    this.#executor = executor;
    this.facts = facts;
  }

  async infer(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const given: Record<string, TfTensor> = {};
    let results: TfTensor[] = [];
    try {
      for (const { name, dtype } of this.#description.inputs) {
        const input = inputs[name];
        if (input !== undefined) given[name] = tensor(widened(input.values, dtype), input.shape, dtype === "uint8" ? "int32" : dtype);
      }
      const names = this.#description.outputs.map((spec) => spec.name);
      results = this.#executor.execute(given, names);
      const read = await Promise.all(results.map(async (result) => ({ values: await result.data(), shape: result.shape })));
      return Object.fromEntries(this.#description.outputs.map((spec, k) => [spec.name, asDtype(read[k], spec.dtype)]));
    } finally {
      dispose([...Object.values(given), ...results]);
    }
  }

  dispose(): void {
    this.#executor.dispose();
  }
}

/** TF.js has no uint8. */
function widened(values: Values, dtype: Dtype): Values {
  return dtype === "uint8" ? Int32Array.from(values) : values;
}

/** After a widening cast a float32 tensor of TF.js may hold an Int32Array. */
function asDtype(read: Tensor | undefined, dtype: Dtype): Tensor {
  if (read === undefined) throw new ModelError("runtime-failed", "the model gave fewer outputs than it has", "Install the package again.");
  const wanted = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array }[dtype];
  const values = read.values instanceof wanted ? read.values : wanted.from(read.values);
  return { values, shape: [...read.shape] };
}

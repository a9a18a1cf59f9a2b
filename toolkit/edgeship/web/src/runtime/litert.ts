/** .tflite files in LiteRT.js: WebAssembly (XNNPACK) on one thread, or WebGPU. */
import { loadAndCompile, loadLiteRt, Tensor as LiteRTTensor, type CompiledModel } from "@litertjs/core";
import type { Description, Tensor } from "./description.ts";
import type { Engine, Runtime, Start } from "./engine.ts";
import { isModelError, ModelError, text } from "./errors.ts";
import type { Bytes } from "./files.ts";
import { provide } from "./litert_loader.ts";
import { compile } from "./wasm.ts";
import { webgpuMissing } from "./webgpu.ts";

/** (module (func (result v128) (i8x16.relaxed_swizzle (i8x16.splat (i32.const 1)) (i8x16.splat (i32.const 2))))) */
const RELAXED_PROBE = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11];

function unsupported(accelerator: string, why: string): ModelError {
  return new ModelError("unsupported-runtime", `LiteRT.js cannot use ${accelerator} in this browser: ${why}`, "Take runtime: 'auto', or another one that the package holds.");
}

/** LiteRT.js starts once in a thread, for all of its models and both accelerators. */
let library: Promise<unknown> | undefined;

async function begin(content: Bytes | undefined): Promise<void> {
  provide(await compile(content));
  await loadLiteRt("litert/", { threads: false });
}

async function start(given: Start, accelerator: "wasm" | "webgpu"): Promise<Engine> {
  if (accelerator === "webgpu") {
    const missing = await webgpuMissing();
    if (missing) throw unsupported(accelerator, missing);
  }
  const [content] = given.wasm.values();
  try {
    await (library ??= begin(content));
  } catch (error) {
    library = undefined; // it may be tried again
    if (isModelError(error)) throw error;
    throw unsupported(accelerator, text(error));
  }
  const [file] = given.model.values();
  if (file === undefined) throw new ModelError("input", "the package has no model", "Install the package again.");
  const model = await loadAndCompile(file, { accelerator });
  if (model.options.accelerator !== accelerator) throw unsupported(accelerator, "it would run this model elsewhere");
  return new LiteRTEngine(given.description, model, accelerator);
}

class LiteRTEngine implements Engine {
  readonly facts: Readonly<Record<string, string>>;
  readonly #order: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };
  readonly #model: CompiledModel;

  constructor(description: Description, model: CompiledModel, accelerator: string) {
    this.#order = {
      inputs: order(model.getInputDetails(), description.inputs),
      outputs: order(model.getOutputDetails(), description.outputs),
    };
    this.#model = model;
    const whole = accelerator === "webgpu" ? { wholly_on_gpu: model.isFullyAccelerated ? "yes" : "no" } : {};
    this.facts = { runtime: `litert-${accelerator}`, ...whole };
  }

  async infer(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    const given: LiteRTTensor[] = [];
    let results: LiteRTTensor[] = [];
    try {
      for (const name of this.#order.inputs) {
        const input = inputs[name];
        if (input !== undefined) given.push(new LiteRTTensor(input.values, [...input.shape]));
      }
      results = await this.#model.run(given);
      // Values lie in the runtime's memory.
      const read = await Promise.all(results.map(async (result) => ({ values: (await result.data()).slice(), shape: [...result.type.layout.dimensions] })));
      return Object.fromEntries(this.#order.outputs.map((name, k) => [name, required(read[k])]));
    } finally {
      for (const tensor of [...given, ...results]) tensor.delete();
    }
  }

  dispose(): void {
    this.#model.delete();
  }
}

/** Names in the order of the file; it has those of the signature, but not always in its order. */
function order(details: readonly { name: string }[], specs: readonly { name: string }[]): readonly string[] {
  const [theirs, ours] = [details.map((detail) => detail.name), specs.map((spec) => spec.name)];
  return theirs.length === ours.length && ours.every((name) => theirs.includes(name)) ? theirs : ours;
}

function required(tensor: Tensor | undefined): Tensor {
  if (tensor === undefined) throw new ModelError("runtime-failed", "the model gave fewer outputs than it has", "Install the package again.");
  return tensor;
}

export function litert(accelerator: "wasm" | "webgpu"): Runtime {
  return {
    wasmNeeded: () => [WebAssembly.validate(Uint8Array.from(RELAXED_PROBE)) ? "relaxed" : "compat"],
    start: (given) => start(given, accelerator),
  };
}

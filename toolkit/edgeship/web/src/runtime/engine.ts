/** One model in one runtime. */
import type { Description, RuntimeName, Tensor } from "./description.ts";
import type { Bytes } from "./files.ts";

export interface Engine {
  /** Outputs by name, each a copy. @param inputs by name */
  infer(inputs: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  dispose(): void;
  /** What the runtime says of itself, such as its processor: `tfjs-wasm` `simd`. */
  readonly facts: Readonly<Record<string, string>>;
}

/** What a runtime starts from; every byte was verified. */
export interface Start {
  readonly description: Description;
  /** Files of the model by name, the entry first. */
  readonly model: ReadonlyMap<string, Bytes>;
  /** WebAssembly by the name that `wasmNeeded` gave; empty for runtimes without. */
  readonly wasm: ReadonlyMap<string, Bytes>;
}

/** A runtime, as the modules of a package export it. */
export interface Runtime {
  /** Which of its WebAssembly files this browser runs. @throws ModelError unsupported-runtime */
  wasmNeeded(): readonly string[];
  /** @throws ModelError unsupported-runtime, runtime-failed */
  start(given: Start): Promise<Engine>;
}

/** What a module of runtimes exports as `RUNTIMES`. */
export type Runtimes = Partial<Record<RuntimeName, Runtime>>;

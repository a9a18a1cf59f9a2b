/** What is used here of packages that the generator bundles, and of modules that it writes. */

declare module "@tensorflow/tfjs-core" {
  export interface TfTensor {
    readonly dtype: string;
    readonly shape: number[];
    data(): Promise<Float32Array | Int32Array | Uint8Array>;
    dispose(): void;
  }
  export interface Platform {
    fetch(path: string, init?: RequestInit): Promise<Response>;
    now(): number;
    encode(text: string, encoding: string): Uint8Array;
    decode(bytes: Uint8Array, encoding: string): string;
    setTimeoutCustom(callback: () => void, delay: number): void;
    isTypedArray(value: unknown): boolean;
  }
  export function tensor(values: ArrayBufferView, shape: readonly number[], dtype: string): TfTensor;
  export function dispose(container: unknown): void;
  export function env(): { setPlatform(name: string, platform: Platform): void; set(flag: string, value: unknown): void };
  export function registerKernel(config: unknown): void;
  export function registerBackend(name: string, factory: () => unknown): boolean;
  export function setBackend(name: string): Promise<boolean>;
  export function ready(): Promise<void>;
  export function getBackend(): string;
}
declare module "@tensorflow/tfjs-core/dist/io/io_utils" {
  import type { TfTensor } from "@tensorflow/tfjs-core";
  export function decodeWeights(data: ArrayBuffer[], specs: readonly unknown[]): Record<string, TfTensor>;
}
declare module "@tensorflow/tfjs-converter/dist/executor/graph_executor" {
  import type { TfTensor } from "@tensorflow/tfjs-core";
  export class GraphExecutor {
    constructor(graph: unknown);
    weightMap: Record<string, TfTensor[]>;
    execute(inputs: Record<string, TfTensor>, outputs: readonly string[]): TfTensor[];
    dispose(): void;
  }
}
declare module "@tensorflow/tfjs-converter/dist/operations/operation_mapper" {
  export const OperationMapper: { readonly Instance: { transformGraph(graph: unknown, signature: unknown): unknown } };
}
declare module "@tensorflow/tfjs-converter/dist/flags" {}
declare module "@tensorflow/tfjs-backend-wasm/dist/backend_wasm" {
  export const BackendWasm: new (module: unknown) => object;
}
declare module "@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js" {
  import type { Emscripten } from "edgeship:emscripten";
  const factory: (options: Emscripten) => Promise<{
    cwrap(name: string, result: string | null, given: string[]): unknown;
    tfjs?: Record<string, unknown>;
  }>;
  export default factory;
}
declare module "@tensorflow/tfjs-backend-webgl/dist/backend_webgl" {
  export const MathBackendWebGL: new () => object;
}
declare module "@tensorflow/tfjs-backend-webgpu/dist/base" {}

declare module "@litertjs/core" {
  interface Details {
    readonly name: string;
    readonly dtype: string;
    readonly shape: Int32Array;
  }
  export class Tensor {
    constructor(values: ArrayBufferView, shape: readonly number[]);
    readonly type: { readonly layout: { readonly dimensions: Iterable<number> } };
    data(): Promise<Float32Array | Int32Array | Uint8Array>;
    delete(): void;
  }
  export interface CompiledModel {
    readonly options: { readonly accelerator: string };
    readonly isFullyAccelerated: boolean;
    getInputDetails(): Details[];
    getOutputDetails(): Details[];
    run(inputs: Tensor[]): Promise<Tensor[]>;
    delete(): void;
  }
  export function loadLiteRt(path: string, options: { threads: boolean }): Promise<unknown>;
  export function loadAndCompile(model: Uint8Array, options: { accelerator: string }): Promise<CompiledModel>;
}

/** What Emscripten's factories take. */
declare module "edgeship:emscripten" {
  export interface Emscripten {
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void): object;
    onAbort?(reason: unknown): void;
    print?(line: string): void;
    printErr?(line: string): void;
  }
}
declare module "edgeship:litert-relaxed" {
  import type { Emscripten } from "edgeship:emscripten";
  const factory: (options: Emscripten) => Promise<unknown>;
  export default factory;
}
declare module "edgeship:litert-compat" {
  import type { Emscripten } from "edgeship:emscripten";
  const factory: (options: Emscripten) => Promise<unknown>;
  export default factory;
}
/** Kernels of one backend of TF.js. */
declare module "edgeship:kernels" {
  export const KERNELS: readonly unknown[];
}
/** Runtimes that are part of the worker. */
declare module "edgeship:builtin" {
  export const RUNTIMES: import("./engine.ts").Runtimes;
}
declare module "edgeship:description" {
  const DESCRIPTION: import("./description.ts").Description;
  export default DESCRIPTION;
}
/** Addresses of assets as literals that bundlers see. */
declare module "edgeship:addresses" {
  export const ADDRESSES: Readonly<Record<string, () => string>>;
}

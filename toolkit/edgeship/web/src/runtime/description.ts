/** What the generator writes into a package about its model; also what page and worker say to each other about it. */

export type Dtype = "float32" | "int32" | "uint8" | "bool";
export type Values = Float32Array | Int32Array | Uint8Array;
export type RuntimeName = "tfjs-wasm" | "tfjs-webgl" | "tfjs-webgpu" | "litert-wasm" | "litert-webgpu";

/** How pixels become an input: resized as Pillow's `bilinear` does, then (pixel * scale - mean) / std by channel. */
export interface ImagePreparation {
  readonly height: number;
  readonly width: number;
  readonly channels: "grey" | "RGB" | "BGR" | "RGBA";
  readonly scale: number;
  /** One number for all channels, one for each, or none. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export interface InputSpec {
  readonly name: string;
  /** With the batch axis; null: any size. */
  readonly shape: readonly (number | null)[];
  readonly dtype: Dtype;
  /** Null where this input takes no images. */
  readonly image: ImagePreparation | null;
}

export interface OutputSpec {
  readonly name: string;
  readonly shape: readonly (number | null)[];
  readonly dtype: Dtype;
}

/** How the values of the first output are told as classes; `value`: one number, of the second of two labels. */
export type Scoring = "values" | "softmax" | "value";

/** A file of the package, by what it holds. */
export interface Asset {
  /** Relative to the package's folder; its name holds its SHA-256. */
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** What a runtime of this package needs. */
export interface RuntimeFiles {
  readonly name: RuntimeName;
  /** What its model is called in releases: `tfjs-uint8`. */
  readonly variant: string;
  /** The model's files by the name that they have in the build, the entry first. */
  readonly model: Readonly<Record<string, Asset>>;
  /** A module that starts it; null: it is part of the worker. */
  readonly module: Asset | null;
  /** WebAssembly by what it is: `simd`, `plain`. */
  readonly wasm: Readonly<Record<string, Asset>>;
}

export interface Description {
  readonly name: string;
  readonly version: string;
  /** When the build was, with its offset from UTC. */
  readonly created: string;
  readonly inputs: readonly InputSpec[];
  readonly outputs: readonly OutputSpec[];
  /** By index of the last axis of the first output; empty: no classes. */
  readonly labels: readonly string[];
  readonly scoring: Scoring;
  /** In the order in which `auto` tries them. */
  readonly runtimes: readonly RuntimeFiles[];
}

/** An array that goes into a model or comes out of it. */
export interface Tensor<T extends Values = Values> {
  readonly values: T;
  readonly shape: readonly number[];
}

/** Pixels, rows from the top, four bytes each: red, green, blue, alpha (not premultiplied). */
export interface Pixels {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}

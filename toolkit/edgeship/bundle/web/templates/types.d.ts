/** Pixels as a canvas gives them: four bytes each, red, green, blue, alpha. */
export interface PixelData {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}
export type ImageSource =
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | Blob
  | ImageData
  | PixelData;

export interface OutputTensor<T extends Float32Array | Int32Array | Uint8Array> {
  readonly values: T;
  readonly shape: readonly number[];
}

export interface Classification {
  readonly label: Label;
  /** Of the label, in the order of the model. */
  readonly index: number;
  /** 0 to 1; of a model that gives scores without bounds, their softmax. */
  readonly confidence: number;
}

export interface Prediction {
  readonly outputs: Outputs;
  /** The surest first; of the first sample; empty for a model without labels. */
  readonly classes: readonly Classification[];
  /** From the call to the answer. */
  readonly milliseconds: number;
}

export interface ProgressEvent {
  readonly status: "initiate" | "download" | "progress" | "done" | "ready";
  /** Absent for `ready`. */
  readonly file?: string;
  /** Bytes after decompression; of the file, and of all files. */
  readonly loaded: number;
  readonly total: number;
  readonly allLoaded: number;
  readonly allTotal: number;
  /** Of `done`: it came from this browser's store, without the network. */
  readonly cached?: boolean;
}

/** Files of a newer release of the model, for `LoadOptions.updates`; whoever gives them has verified them. */
export interface ModelFiles {
  /** @param name as in the build, such as `model.json`; the bytes are handed over. */
  read(name: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array>;
}

export interface LoadOptions {
  /** Default `auto`: the first of this package that works. */
  readonly runtime?: RuntimeName | "auto";
  /** Where worker.js and assets/ lie; default: beside index.js, where bundlers that know the form put them. */
  readonly baseUrl?: string | URL;
  /** `auto`: in a worker, and in the page where workers are blocked. `true`: never in the page. */
  readonly worker?: boolean | "auto";
  /** Keep files in Cache Storage for starts without a network; default true. */
  readonly cache?: boolean;
  /** Run once on zeros, so that the first prediction is as fast as later ones; default false. */
  readonly warmUp?: boolean;
  readonly updates?: ModelFiles;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
}

export type ErrorCode =
  | "not-found"
  | "network"
  | "truncated"
  | "wrong-hash"
  | "wrong-type"
  | "worker-blocked"
  | "unsupported-runtime"
  | "runtime-failed"
  | "input"
  | "disposed"
  | "quota-exceeded"
  | "cache-blocked";

/** What `load` and `predict` throw; where a signal was aborted, its reason instead. */
export class ModelError extends Error {
  readonly code: ErrorCode;
  /** What to try. */
  readonly remedy: string;
}

export interface Info {
  readonly name: string;
  readonly version: string;
  readonly runtime: RuntimeName;
  readonly thread: "worker" | "page";
  /** What the runtime says of itself. */
  readonly facts: Readonly<Record<string, string>>;
  /** What did not work and did not matter, such as a store that is full. */
  readonly notices: readonly { readonly code: string; readonly message: string; readonly remedy: string }[];
  readonly milliseconds: { readonly files: number; readonly start: number; readonly total: number };
}

export interface Model {
  readonly info: Info;
  /** Takes turns; outputs belong to the caller. */
  predict(input: Input, options?: { readonly signal?: AbortSignal }): Promise<Prediction>;
  /** Ends the worker; what is under way fails with `disposed`. */
  dispose(): void;
}

export function load(options?: LoadOptions): Promise<Model>;

/** In browsers: register the package's sw.js, which keeps this page for starts without a network. After `load`. */
export function keepOffline(script: string | URL, more?: readonly string[]): Promise<void>;

export const description: {
  readonly name: string;
  readonly version: string;
  readonly labels: readonly Label[];
  readonly runtimes: readonly RuntimeName[];
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | null)[]; readonly dtype: string }[];
  readonly outputs: readonly { readonly name: string; readonly shape: readonly (number | null)[]; readonly dtype: string }[];
};

/** Public types of every package, whatever its model; the generator puts them into a package's `model.d.ts`. */
import type { RuntimeName } from "./runtime/description.ts";

/** Pixels as a canvas gives them, also made by hand, in Node for instance: four bytes each, red, green, blue, alpha. */
export interface PixelData {
  readonly data: Uint8ClampedArray | Uint8Array;
  readonly width: number;
  readonly height: number;
}
export type ImageSource = ImageBitmap | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | Blob | ImageData | PixelData;

export interface ProgressEvent {
  /** Of a file: `initiate`, `download` (the answer is there), `progress`, `done`; of the whole: `ready`. */
  readonly status: "initiate" | "download" | "progress" | "done" | "ready";
  /** Absent for `ready`. */
  readonly file?: string;
  /** Bytes after decompression; of the file. */
  readonly loaded: number;
  readonly total: number;
  /** Of all files of this load. */
  readonly allLoaded: number;
  readonly allTotal: number;
  /** Of `done`: it came from this browser's store, without the network. */
  readonly cached?: boolean;
}

/** Files of the model from elsewhere, for `LoadOptions.updates`; whoever gives them has verified them. */
export interface ModelFiles {
  /** @param name as in the build, such as `model.json`; the bytes are handed over, give a copy of what you keep */
  read(name: string, options: { readonly signal: AbortSignal }): Promise<Uint8Array>;
}

/** What keeps a model up to date: made by `updates` of the package's own `/updates`. */
export interface ModelUpdates {
  readonly kind: "edgeship.updates/1";
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
  /** Start the newest release that was verified here instead of the package's own files. */
  readonly updates?: ModelUpdates | ModelFiles;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: ProgressEvent) => void;
}

/**
 * What a caller can tell errors apart by.
 *
 * Files: `not-found` (404), `network`, `truncated`, `wrong-hash`, `wrong-type` (a web page, or no script, in its place).
 * Place: `worker-blocked`, `unsupported-runtime`, `runtime-failed`. Caller: `input`, `disposed`.
 * Notices only, never thrown: `quota-exceeded`, `cache-blocked`, `release-failed` (an update does not start: the files
 * before it, or the package's own, run in its place).
 */
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
  | "cache-blocked"
  | "release-failed";

/** What did not work and did not matter, such as a store that is full. */
export interface Notice {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
}

/** A release of an update repository: its version, and which of its files it is, such as `tfjs-uint8`. */
export interface ReleaseName {
  readonly version: string;
  readonly variant: string;
}

export interface Info {
  /** Of the package. */
  readonly name: string;
  readonly version: string;
  /** What runs; null: the package's own files. */
  readonly release: ReleaseName | null;
  readonly runtime: RuntimeName;
  readonly thread: "worker" | "page";
  /** What the runtime says of itself. */
  readonly facts: Readonly<Record<string, string>>;
  readonly notices: readonly Notice[];
  readonly milliseconds: { readonly files: number; readonly start: number; readonly total: number };
}

/** What a page and the worker of a package say to each other. */
import type { Tensor } from "./description.ts";
import type { ErrorData } from "./errors.ts";
import type { Bytes } from "./files.ts";
import type { ProgressEvent } from "./progress.ts";
import type { Given, Loaded, LoadRequest } from "./session.ts";

/** To the worker; `id` tells requests apart. */
export type Request =
  | { readonly op: "load"; readonly id: number; readonly request: LoadRequest }
  | { readonly op: "abort" }
  | { readonly op: "infer"; readonly id: number; readonly inputs: Readonly<Record<string, Given>> }
  /** Answers `need`. */
  | { readonly op: "file"; readonly id: number; readonly content?: Bytes; readonly error?: ErrorData };

/** From the worker. */
export type Reply =
  | { readonly kind: "here" }
  | { readonly kind: "done"; readonly id: number; readonly result: Loaded | Record<string, Tensor> }
  | { readonly kind: "failed"; readonly id: number; readonly error: ErrorData }
  | { readonly kind: "progress"; readonly event: ProgressEvent }
  /** A file of the model that the page supplies. */
  | { readonly kind: "need"; readonly id: number; readonly name: string };

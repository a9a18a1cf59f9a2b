/** The errors of a package. */
import type { ErrorCode } from "../public.ts";

export type { ErrorCode };

/** How an error crosses from a worker to a page. */
export interface ErrorData {
  readonly code: ErrorCode | "aborted";
  readonly message: string;
  readonly remedy: string;
}

/** Every error of a package on purpose. An abort throws the reason of its signal instead, as `fetch` does. */
export class ModelError extends Error {
  /**
   * @param code tells errors apart in programs.
   * @param message what was given, and what is allowed.
   * @param remedy what to try.
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly remedy: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "ModelError";
  }
}

/** Also one of another copy of this class, which modules of runtimes have. */
export function isModelError(error: unknown): error is ModelError {
  return error instanceof Error && error.name === "ModelError" && "code" in error;
}

/** An abort, or an error with its code; what was not foreseen is the runtime's. */
export function toData(error: unknown): ErrorData {
  if (isModelError(error)) return { code: error.code, message: error.message, remedy: error.remedy };
  const message = text(error);
  if (error instanceof Error && error.name === "AbortError") return { code: "aborted", message, remedy: "" };
  return { code: "runtime-failed", message, remedy: "Try another runtime of this package; the console may say more." };
}

/** The error that `toData` was given; for an abort a DOMException as `fetch` throws it. */
export function fromData(data: ErrorData): Error {
  if (data.code === "aborted") return new DOMException(data.message || "The operation was aborted.", "AbortError");
  return new ModelError(data.code, data.message, data.remedy);
}

/** The words of anything that was thrown. */
export function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What went wrong: `refused` by a check, `unavailable` for now, `storage` of the browser, `input` of the caller. */
export type ErrorCode = "refused" | "unavailable" | "storage" | "input" | "patch";

/** All errors of this client. The model that is active goes on whichever of them is thrown. */
export class UpdateError extends Error {
  /**
   * @param code tells errors apart in programs.
   * @param message what was given, and what is allowed.
   * @param remedy what to try; empty: nothing can be done here.
   */
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly remedy = "",
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What is offered is not signed, not fresh, older than what was seen, another file, or failed its self-test. */
export class RefusedError extends UpdateError {
  constructor(message: string, remedy = "Nothing was changed; the model goes on.", options?: ErrorOptions) {
    super("refused", message, remedy, options);
  }
}

/** No answer, none of a repository, too slow a one, a clock that is wrong, or a browser that lacks something. */
export class UnavailableError extends UpdateError {
  constructor(message: string, remedy = "It is tried again at the next check.", options?: ErrorOptions) {
    super("unavailable", message, remedy, options);
  }
}

/** The browser does not store: no space, or storage is blocked. */
export class StorageError extends UpdateError {
  constructor(message: string, remedy = "Free some space, or allow this page to store data.", options?: ErrorOptions) {
    super("storage", message, remedy, options);
  }
}

/** The caller's options or pinned root cannot be used. */
export class InputError extends UpdateError {
  constructor(message: string, remedy = "", options?: ErrorOptions) {
    super("input", message, remedy, options);
  }
}

/** A patch is broken, for another file, or makes a larger one; the client takes the whole file then. */
export class PatchError extends UpdateError {
  constructor(message: string, options?: ErrorOptions) {
    super("patch", message, "The whole file is taken instead.", options);
  }
}

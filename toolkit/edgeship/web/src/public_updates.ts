/** Public types of a package's `/updates`; the generator puts them into its `updates.d.ts`. */
import type { ModelUpdates, ReleaseName } from "./public.ts";

export interface UpdateOptions {
  /** Address of the folder with `metadata/` and `targets/`. */
  readonly repository: string;
  /** `metadata/1.root.json` of the repository, which comes with your page: whom it believes. */
  readonly root: string | Uint8Array;
  /** Model and major version: `digits/v1`. Another major version has other inputs, outputs or labels. */
  readonly line: string;
  /** Which files of a release, best first; default: what the runtimes of the package were made for. */
  readonly variants?: readonly string[];
  /** A channel that a person put this browser into. */
  readonly channel?: string;
  /** Minutes between looks while the page is open, the first one once the model has loaded; default 60, 0: never. */
  readonly every?: number;
  /** Called at each change. */
  readonly onState?: (state: UpdateState) => void;
}

/** What is wrong: `refused` by a check, `unavailable` for now, `storage` of the browser, `input` of the caller. */
export interface UpdateFailure {
  readonly code: "refused" | "unavailable" | "storage" | "input";
  readonly message: string;
  readonly remedy: string;
}

export interface UpdateState {
  /**
   * `idle`: nothing was looked for yet. `checking`, `downloading`, `testing`: under way. `current`: what is there is what
   * the repository wants here. `ready`: a newer release passed its test here and starts at the next `load`. `kept`: none
   * that is offered may or can run here, `refused` says why. `failed`: `error` says why. Whatever it is, the model goes on.
   */
  readonly status: "idle" | "checking" | "downloading" | "testing" | "current" | "ready" | "kept" | "failed";
  /** What the next `load` starts; null: the package's own files. */
  readonly next: ReleaseName | null;
  /** Bytes on the wire, of what is `downloading` or was. */
  readonly loaded: number;
  readonly total: number;
  /** Of `failed`. */
  readonly error: UpdateFailure | null;
  /** Releases that were offered and not taken, each with the reason. */
  readonly refused: readonly string[];
  /** Whether the browser keeps what came; false: it stores nothing for this page, and the next visit begins anew. */
  readonly persistent: boolean;
}

/** Keeps one model up to date. */
export interface Updates extends ModelUpdates {
  readonly state: UpdateState;
  /**
   * Look now, and take what there is, tested; for models that were loaded with these updates.
   *
   * @returns the state that it ended in; it rejects with the reason of `signal` only
   */
  update(options?: { readonly signal?: AbortSignal }): Promise<UpdateState>;
  /** The release that runs was found wrong: the one before it, or the package's own files, run from the next `load` on. */
  rollBack(reason: string): Promise<UpdateState>;
  /** Look no more. */
  close(): void;
}

/** Nothing is done before a `load` with them. Options that cannot be followed end in `failed` with `input`. */
export declare function updates(options: UpdateOptions): Updates;

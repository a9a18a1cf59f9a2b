/** What a package and its updates say to each other; they are scripts of their own, so that who needs none ships none. */
import type { ModelFiles, ModelUpdates, ReleaseName } from "../public.ts";
import type { Description, RuntimeName, Tensor } from "../runtime/description.ts";
import type { Bytes, Reader } from "../runtime/files.ts";

/** Verified files of a release. */
export interface Candidate extends ReleaseName {
  /** The file that the runtime opens. */
  readonly entry: string;
  readonly files: ReadonlyMap<string, Bytes>;
}

/** What came of running files on samples, in the order of the samples. */
export interface Tried {
  readonly runtime: RuntimeName;
  readonly outputs: readonly Readonly<Record<string, Tensor>>[];
}

/** A package, as its updates see it. */
export interface Home {
  readonly description: Description;
  /** Of the runtimes that were asked for, the preferred one first. */
  readonly variants: readonly string[];
  /** Where assets lie, by their path in the package. */
  readonly urls: Readonly<Record<string, string>>;
  /** Whether the package may keep its own files. */
  readonly cache: boolean;
  readonly read: Reader | undefined;
  /**
   * Runs files on samples, in a worker of their own beside the model that serves.
   *
   * @throws ModelError
   */
  attempt(candidate: Candidate, samples: readonly Readonly<Record<string, Tensor>>[], signal: AbortSignal): Promise<Tried>;
}

/** How a start of a release ended; `stopped`: by whoever asked for it. */
export type Ending = "started" | "failed" | "stopped";

/** What `updates` gives, as `load` uses it. None of it throws: a model starts whatever becomes of updates. */
export interface UpdateSource extends ModelUpdates {
  /** The release to start; null: the package's own files. */
  open(home: Home): Promise<Candidate | null>;
  /** What came of it. */
  ended(how: Ending, why?: Error): Promise<void>;
  /** A model serves, so that there is time to look for updates. */
  serving(): void;
}

export const isSource = (given: ModelUpdates | ModelFiles | undefined): given is UpdateSource =>
  given !== undefined && "kind" in given;

/**
 * `<package>/updates`: the client of update repositories, joined to a package.
 *
 * Nothing here stops a model: what goes wrong is a state, and the release before or the package's own files serve.
 */
import type { ReleaseName } from "../public.ts";
import type { UpdateFailure, UpdateOptions, Updates, UpdateState } from "../public_updates.ts";
import { text } from "../runtime/errors.ts";
import { browserStores, InputError, UpdateError, type Release } from "../updates/index.ts";
import { aborting } from "./aborting.ts";
import { Following, type Stores } from "./following.ts";
import type { Candidate, Ending, Home, UpdateSource } from "./seam.ts";
import { candidate } from "./selftest.ts";

const MINUTE = 60_000;
const DEFAULT_MINUTES = 60;
const PHASES = { check: "checking", download: "downloading", test: "testing" } as const;

class KeptUpToDate implements Updates, UpdateSource {
  readonly kind = "edgeship.updates/1";
  readonly #options: UpdateOptions;
  #state: UpdateState = { status: "idle", next: null, loaded: 0, total: 0, error: null, refused: [], persistent: true };
  #stores: Stores | null = null;
  #following: Following | null = null;
  /** SHA-256 of what the last load started, and of what the next one starts; null: the package's own files. */
  #runs: string | null = null;
  #next: string | null = null;
  /** Releases that did not start in this page. */
  readonly #broken = new Set<string>();
  #looking: Promise<UpdateState> | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  readonly #closed = new AbortController();

  constructor(options: UpdateOptions) {
    this.#options = options;
  }

  get state(): UpdateState {
    return this.#state;
  }

  async open(home: Home): Promise<Candidate | null> {
    let release: Release | null = null;
    try {
      this.#following = new Following(this.#options, home, await this.#opened());
      release = await this.#following.newest(this.#broken);
      if (release) await this.#following.begin(release.sha256);
      this.#will(release);
      this.#rest();
    } catch (error) {
      release = null;
      this.#will(null);
      this.#fail(error);
    }
    this.#runs = release?.sha256 ?? null;
    return release && candidate(release);
  }

  async ended(how: Ending, why?: Error): Promise<void> {
    const [runs, { next, refused }] = [this.#runs, this.#state];
    if (runs === null) return;
    if (how === "failed") this.#broken.add(runs);
    if (why) this.#tell({ refused: [...refused, `${next?.version ?? ""}: it does not start: ${why.message}`] });
    await this.#following?.end(runs, how).catch((error: unknown) => this.#fail(error));
  }

  serving(): void {
    const { every = DEFAULT_MINUTES } = this.#options;
    if (this.#timer !== undefined || !(every > 0) || this.#closed.signal.aborted) return;
    this.#timer = setInterval(() => void this.update(), every * MINUTE);
    (this.#timer as { unref?: () => void }).unref?.(); // Node does not wait for it
    void this.update();
  }

  async update(options: { readonly signal?: AbortSignal } = {}): Promise<UpdateState> {
    options.signal?.throwIfAborted();
    this.#looking ??= this.#look(options.signal).finally(() => {
      this.#looking = null;
    });
    return aborting(this.#looking, options.signal);
  }

  async rollBack(reason: string): Promise<UpdateState> {
    try {
      this.#will((await this.#open().client.rollBack(reason)) ?? null);
      return this.#tell({ status: this.#next === this.#runs ? "current" : "ready", error: null });
    } catch (error) {
      return this.#fail(error);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#closed.abort();
  }

  async #opened(): Promise<Stores> {
    if (this.#stores) return this.#stores;
    const { persistent, ...stores } = await browserStores(this.#options.line);
    this.#tell({ persistent });
    return (this.#stores = stores);
  }

  #open(): Following {
    if (this.#closed.signal.aborted) throw new InputError("these updates were closed", "Make new ones.");
    if (this.#following === null) throw new InputError("no model was loaded with these updates", "Call load({ updates }) first.");
    return this.#following;
  }

  async #look(given: AbortSignal | undefined): Promise<UpdateState> {
    const abort = new AbortController();
    const end = (): void => abort.abort(given?.aborted ? given.reason : undefined);
    const signals = [given, this.#closed.signal];
    signals.forEach((signal) => signal?.addEventListener("abort", end));
    try {
      const following = this.#open();
      const onProgress: NonNullable<Parameters<typeof following.client.update>[0]>["onProgress"] = ({ phase, loaded, total }) => {
        if (phase !== "done") this.#tell({ status: PHASES[phase], ...(phase === "download" ? { loaded, total } : {}) });
      };
      this.#tell({ status: "checking", error: null, refused: [], loaded: 0, total: 0 });
      const { result, refused } = await following.client.update({ signal: abort.signal, onProgress });
      const release = await following.client.active();
      if (release) await following.asked(release);
      this.#will(release ?? null);
      const runs = this.#next === this.#runs || (this.#runs === null && !!release && following.has(release));
      const settled = runs ? (result === "kept" ? "kept" : "current") : "ready";
      return this.#tell({ status: settled, refused });
    } catch (error) {
      if (abort.signal.aborted) return this.#rest();
      return this.#fail(error);
    } finally {
      signals.forEach((signal) => signal?.removeEventListener("abort", end));
    }
  }

  /** Nothing is under way. */
  #rest(): UpdateState {
    return this.#tell({ status: this.#next === this.#runs || this.#state.status === "idle" ? "idle" : "ready" });
  }

  #will(release: Release | null): void {
    this.#next = release?.sha256 ?? null;
    const next: ReleaseName | null = release && { version: release.version, variant: release.variant };
    this.#tell({ next });
  }

  #fail(error: unknown): UpdateState {
    const failure: UpdateFailure =
      error instanceof UpdateError && error.code !== "patch"
        ? { code: error.code, message: error.message, remedy: error.remedy }
        : { code: "unavailable", message: text(error), remedy: "It is tried again at the next check." };
    return this.#tell({ status: "failed", error: failure });
  }

  #tell(changed: Partial<UpdateState>): UpdateState {
    this.#state = { ...this.#state, ...changed };
    const { onState } = this.#options;
    const state = this.#state;
    if (onState) queueMicrotask(() => onState(state)); // what it throws ends nothing here
    return state;
  }
}

export function updates(options: UpdateOptions): Updates {
  return new KeptUpToDate(options);
}

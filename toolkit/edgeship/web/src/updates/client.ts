import { withBuiltIn, type BuiltIn } from "./builtin.ts";
import { isFile, sha256, type Bytes } from "./bytes.ts";
import type { Decoding } from "./decoding.ts";
import { InputError, RefusedError, UnavailableError } from "./errors.ts";
import type { Progress } from "./fetching.ts";
import { Http, LIMITS, type Limits } from "./http.ts";
import { load, serving, type Release } from "./installed.ts";
import { readManifest } from "./manifest.ts";
import type { Root } from "./metadata.ts";
import { allows, line, noPolicy, variant, type Line } from "./releases.ts";
import { readState, withFailed, writeState, type Held, type State } from "./state.ts";
import type { Store } from "./stores.ts";
import { pinned } from "./trust.ts";
import { Update, type Outcome } from "./updating.ts";

/** What a client is told once. */
export interface Options {
  /** Address of the folder with `metadata/` and `targets/`. */
  readonly repository: string;
  /** A root.json of the repository, from the page itself: whom this client believes. */
  readonly root: Bytes;
  /** `model/v1`. */
  readonly line: string;
  /** That this page runs, best first: `tfjs-float16`, `tflite-int8`. */
  readonly variants: readonly string[];
  /** That a person put this client into. */
  readonly channel?: string;
  /** Keeps state and metadata; see `browserStores`. */
  readonly state: Store;
  /** Keeps files under their SHA-256. */
  readonly files: Store;
  /**
   * Runs a release on its golden samples; what it throws refuses the release for ever, an `UnavailableError` only for
   * now.
   */
  readonly selfTest: (release: Release, signal: AbortSignal) => Promise<void>;
  /**
   * Files that the page has anyway and runs where nothing is active: what a release has in common with them is not
   * fetched, patches may begin from them, and `rollBack` may go back to them.
   */
  readonly builtIn?: BuiltIn;
  /** Where patches and compressed files are decoded; by default in this thread. */
  readonly decoding?: Decoding;
  readonly limits?: Partial<Limits>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly fetch?: typeof fetch;
}

/** What one call is told. */
export interface Call {
  /** Ends it; what came is gone on with next time. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** What a client has, without asking anybody. */
export interface Status {
  readonly active: Pick<Held, "version" | "variant"> | null;
  readonly previous: Pick<Held, "version" | "variant"> | null;
  /** The active release may not run by the policy that was seen last, and goes on for want of another one. */
  readonly revoked: boolean;
  /** Releases that failed here. */
  readonly failed: number;
}

/** Stores in which something changes just now, where the browser has no locks. */
const busy = new WeakSet<Store>();

/** Keeps a model up to date. What is active goes on whatever a call throws. */
export class Client {
  readonly #line: Line;
  readonly #limits: Limits;
  #root: Root | undefined;

  /** @throws InputError for options that no client can follow. */
  constructor(private readonly options: Options) {
    try {
      this.#line = line(options.line, "line");
      options.variants.forEach((name) => variant(name, "variants"));
    } catch (error) {
      throw error instanceof RefusedError ? new InputError(error.message) : error;
    }
    if (!options.variants.length) throw new InputError("a client needs a variant", "For example tfjs-float16.");
    if (!/^https?:\/\/[^?#]+$/.test(options.repository)) {
      throw new InputError(`${options.repository} is no address of a repository`, "Give https://HOST/..., without ? and #.");
    }
    this.#limits = { ...LIMITS, ...options.limits };
  }

  /** The release to run, from what is here: the active one, or the one before where that is damaged. */
  async active(): Promise<Release | undefined> {
    const { files, variants } = this.options;
    return (await serving(files, await this.#read(), variants))?.release;
  }

  /** What is here, and whether it may run. */
  async status(): Promise<Status> {
    const found = await this.#read();
    const { active, previous, failed } = found;
    return { active, previous, revoked: !!active && !this.#allowed(found, active), failed: failed.length };
  }

  /** Look for updates; nothing is fetched but metadata and documents. @throws as `update` */
  check(call: Call = {}): Promise<Outcome> {
    return this.#update(call, true);
  }

  /**
   * Look for updates, and take what there is.
   *
   * @throws RefusedError what is offered is not signed, not fresh or too old; or nothing is active and all of it failed.
   * @throws UnavailableError no check could be made, or another one is running.
   * @throws StorageError the browser does not store.
   */
  update(call: Call = {}): Promise<Outcome> {
    return this.#update(call, false);
  }

  /**
   * Go back to the release before, because the application found the active one wrong; that is not tried again.
   *
   * @returns undefined: to the files that the page has anyway.
   * @throws RefusedError where there is none that is undamaged and may run, nor files of the page.
   */
  rollBack(reason: string): Promise<Release | undefined> {
    return this.#alone(async () => {
      const found = await this.#read();
      const { active, previous } = found;
      const back = previous && this.#allowed(found, previous) ? await load(this.options.files, previous, false) : undefined;
      if (!active || !(back ?? this.options.builtIn)) throw new RefusedError("there is no release to go back to", "Look for updates.");
      const failed = withFailed(found, active.manifest, reason);
      await this.#write({ ...found, active: back ? previous : null, previous: null, failed });
      return back;
    });
  }

  /**
   * Take a release that came with the page, where nothing is active: what updates begin from. It is trusted as the page
   * is, and its files are held to its manifest.
   *
   * @param manifest its manifest.json.
   * @param files name -> content.
   * @returns whether it was taken.
   * @throws RefusedError for a manifest of something else, or files that are not those that it names.
   */
  adopt(manifest: Bytes, files: ReadonlyMap<string, Bytes>): Promise<boolean> {
    return this.#alone(async () => {
      const found = await this.#read();
      if (found.active) return false;
      const { name, version, format, variant, files: named } = readManifest(manifest);
      const { model, major } = this.#line;
      if (name !== model || !version?.startsWith(`${major}.`)) {
        throw new RefusedError(`${name} ${version ?? ""} is no release of ${this.options.line}`);
      }
      for (const file of named) {
        const content = files.get(file.name);
        const right = content && (await isFile(content, file.sha256, file.size_bytes));
        if (!right) throw new RefusedError(`${file.name} is not what its manifest names`);
        await this.options.files.put(file.sha256, content);
      }
      const digest = await sha256(manifest);
      await this.options.files.put(digest, manifest);
      const active = { version, variant: `${format}-${variant}`, manifest: digest, length: manifest.length };
      await this.#write({ ...found, active });
      return true;
    });
  }

  #update({ signal, onProgress = () => undefined }: Call, checkOnly: boolean): Promise<Outcome> {
    return this.#alone(async () => {
      this.#root ??= await pinned(this.options.root);
      const { repository, fetch, now = Date.now } = this.options;
      const http = new Http(repository.replace(/\/+$/, ""), this.#limits, signal, fetch);
      const { options } = this;
      const files = withBuiltIn(options.files, options.builtIn);
      const place = { ...options, files, root: this.#root, line: this.#line, now: now(), http, tell: onProgress };
      return new Update(place, await this.#read()).run(checkOnly);
    });
  }

  /** One change at a time, in all tabs of this origin. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const other = new UnavailableError("another update is running", "Wait for it to end.");
    const name = `edgeship ${this.options.repository} ${this.options.line}`;
    const { locks } = (globalThis as { navigator?: { locks?: LockManager } }).navigator ?? {};
    if (busy.has(this.options.state)) throw other;
    busy.add(this.options.state);
    try {
      // Pages that may not store may not lock either: what they have, no other tab has.
      const may = await locks?.query().then(() => true, () => false);
      if (!locks || !may) return await work();
      return await locks.request(name, { ifAvailable: true }, (lock) => {
        if (!lock) throw other;
        return work();
      });
    } finally {
      busy.delete(this.options.state);
    }
  }

  #allowed({ floor, revoked }: State, { version }: Held): boolean {
    const { floor: lowest, ...none } = noPolicy(this.#line);
    return allows({ ...none, floor: floor ?? lowest, revoked }, version);
  }

  #read(): Promise<State> {
    return readState(this.options.state, this.options.files, this.options.line);
  }

  #write(found: State): Promise<void> {
    return writeState(this.options.state, this.options.files, found);
  }
}

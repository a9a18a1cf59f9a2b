import type { BuiltIn } from "./builtin.ts";
import type { Bytes } from "./bytes.ts";
import { inThisThread, type Decoding } from "./decoding.ts";
import { RefusedError, StorageError, UnavailableError } from "./errors.ts";
import { Fetching, wireBytes, type Candidate, type Progress } from "./fetching.ts";
import type { Http } from "./http.ts";
import { heldManifest, load, serving, type Release } from "./installed.ts";
import type { Root } from "./metadata.ts";
import { DOCUMENT_BYTES, noPolicy, paths, policy, rollout, wish, type Line, type Reason } from "./releases.ts";
import { withFailed, writeState, type Held, type State } from "./state.ts";
import type { Store } from "./stores.ts";
import { Repository, type Target } from "./trust.ts";

/** What came of a check. */
export interface Outcome {
  /**
   * `updated`, `current`, `available` (only looked), or `kept`: nothing that this client may or can run is offered, it
   * goes on with what it has.
   */
  readonly result: "updated" | "current" | "available" | "kept";
  readonly version: string;
  readonly variant: string;
  /** Why the first of the releases that it should run. */
  readonly reason: Reason;
  /** Bytes that getting it takes (`available`) or took (`updated`), as planned. */
  readonly bytes: number;
  /** Releases that were tried and not taken, with the reason. */
  readonly refused: readonly string[];
}

/** What an update works on. */
export interface Place {
  readonly root: Root;
  readonly line: Line;
  readonly variants: readonly string[];
  readonly channel?: string;
  readonly state: Store;
  readonly files: Store;
  readonly builtIn?: BuiltIn;
  readonly decoding?: Decoding;
  readonly http: Http;
  readonly now: number;
  readonly selfTest: (release: Release, signal: AbortSignal) => Promise<void>;
  readonly tell: (progress: Progress) => void;
}

/** One check, from the repository's metadata to an active release. */
export class Update {
  readonly #repository: Repository;
  readonly #fetching: Fetching;
  readonly #refused: string[] = [];
  /** Documents that were read. */
  readonly #read: string[] = [];
  #reason: Reason = "stable";

  constructor(
    private readonly place: Place,
    private found: State,
  ) {
    const { root, http, state, now, line, files, tell, decoding = inThisThread } = place;
    this.#repository = new Repository(root, http, state, now, found.seen ?? undefined);
    this.#fetching = new Fetching(line, http, files, this.#repository, tell, decoding);
  }

  /** Take the best release that passes its self-test. */
  async run(checkOnly: boolean): Promise<Outcome> {
    const outcome = await this.#best(checkOnly);
    if (!checkOnly) await this.#tidy();
    this.#tell("done");
    return outcome;
  }

  async #best(checkOnly: boolean): Promise<Outcome> {
    for (const candidate of await this.#candidates()) {
      if (this.found.failed.some(({ manifest }) => manifest === candidate.target.sha256)) continue;
      const outcome = await this.#take(candidate, checkOnly);
      if (outcome) return outcome;
    }
    const runs = await serving(this.place.files, this.found, this.place.variants);
    if (runs) return this.#outcome("kept", runs.held);
    const why = this.#refused.join("; ") || `It runs ${this.place.variants.join(", ")}.`;
    throw new RefusedError("there is no release that this client can run and may", why);
  }

  /** What is offered to this client, best first, each release in the variant that it prefers. */
  async #candidates(): Promise<readonly Candidate[]> {
    this.#tell("check");
    const { line, variants, channel, now } = this.place;
    await this.#write({ seen: await this.#repository.refresh() });
    const rules = this.#repository.offline(paths.policy(line));
    const allowed = rules ? policy(await this.#document(rules), line) : noPolicy(line);
    await this.#write({ floor: allowed.floor, revoked: allowed.revoked });
    const named = await this.#repository.delegated(paths.rollout(line));
    if (!named) throw new RefusedError(`the repository has no rollout of ${line.model}/v${line.major}`);
    const document = rollout(await this.#document(named), line);
    const member = { installId: this.found.install_id, variants, channel };
    const { versions, reason } = await wish(document, allowed, member, now);
    this.#reason = reason;
    return versions.flatMap((version) => {
      const all = variants.map((variant) => {
        const target = this.#repository.offline(`${paths.release(line, version, variant)}/manifest.json`);
        return target && { version, variant, target };
      });
      return all.find((each) => each !== undefined) ?? [];
    });
  }

  async #document(target: Target): Promise<Bytes> {
    this.#read.push(target.sha256);
    return this.#fetching.document(target, DOCUMENT_BYTES);
  }

  /** Run this release, if it passes its self-test; undefined: it did not, or is not what was signed. */
  async #take(candidate: Candidate, checkOnly: boolean): Promise<Outcome | undefined> {
    const { version, variant, target } = candidate;
    const wanted: Held = { version, variant, manifest: target.sha256, length: target.length };
    const runs = (await serving(this.place.files, this.found, this.place.variants))?.held;
    if (runs && same(runs, wanted)) return this.#outcome("current", wanted);
    try {
      const steps = await this.#plan(candidate);
      const bytes = wireBytes(steps);
      if (checkOnly) return this.#outcome("available", wanted, bytes);
      await this.#fetching.get(steps);
      await this.#test(wanted);
      await this.#write({ active: wanted, previous: runs ?? null });
      return this.#outcome("updated", wanted, bytes);
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      // What was refused before its self-test is not remembered: the network may be to blame, and stable is there.
      this.#refused.push(`${version}: ${error.message}`);
      return undefined;
    }
  }

  async #plan(candidate: Candidate): ReturnType<Fetching["plan"]> {
    const manifest = await this.#fetching.manifest(candidate);
    const { active, previous } = this.found;
    const bases = await Promise.all([active, previous].map((each) => heldManifest(this.place.files, each)));
    const files = [...bases.flatMap((each) => each?.files ?? []), ...(this.place.builtIn?.files ?? [])];
    return this.#fetching.plan(manifest, candidate, files);
  }

  /** @throws RefusedError for a release that fails, which is remembered. */
  async #test(wanted: Held): Promise<void> {
    this.#tell("test");
    const release = await load(this.place.files, wanted, true);
    if (!release) throw new StorageError("this browser does not keep what it stored");
    const { signal } = this.place.http;
    try {
      await this.#limited(release);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof UnavailableError || error instanceof StorageError) throw error;
      const why = `self-test: ${error instanceof Error ? error.message : String(error)}`;
      await this.#write({ failed: withFailed(this.found, wanted.manifest, why) });
      throw new RefusedError(why, undefined, { cause: error });
    }
  }

  /** The self-test, which may not take for ever. */
  async #limited(release: Release): Promise<void> {
    const { limits, signal } = this.place.http;
    const controller = new AbortController();
    const end = (): void => controller.abort(signal?.reason);
    signal?.addEventListener("abort", end);
    const late = new Error(`it does not end within ${limits.testSeconds} s`);
    const timer = setTimeout(() => controller.abort(late), limits.testSeconds * 1000);
    try {
      const ended = new Promise<never>((_, reject) =>
        controller.signal.addEventListener("abort", () => reject(controller.signal.reason as Error)),
      );
      await Promise.race([this.place.selfTest(release, controller.signal), ended]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
    }
  }

  /** Drop what was fetched and is needed no more. */
  async #tidy(): Promise<void> {
    const { files } = this.place;
    const needed = new Set(["state", ...this.#read]);
    for (const each of [this.found.active, this.found.previous]) {
      if (!each) continue;
      const manifest = await heldManifest(files, each);
      if (!manifest) return; // whose files are there nobody knows now
      needed.add(each.manifest);
      for (const { sha256 } of manifest.files) needed.add(sha256);
    }
    for (const name of await files.names()) if (!needed.has(name)) await files.delete(name);
  }

  async #write(changed: Partial<State>): Promise<void> {
    this.found = { ...this.found, ...changed };
    await writeState(this.place.state, this.place.files, this.found);
  }

  #outcome(result: Outcome["result"], { version, variant }: Held, bytes = 0): Outcome {
    return { result, version, variant, reason: this.#reason, bytes, refused: this.#refused };
  }

  #tell(phase: Progress["phase"]): void {
    this.place.tell({ phase, loaded: 0, total: 0 });
  }
}

const same = (a: Held, b: Held): boolean =>
  a.manifest === b.manifest && a.version === b.version && a.variant === b.variant;

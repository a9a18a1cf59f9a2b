/** A package that follows a line of releases: its client, and which of its releases to start. */
import type { UpdateOptions } from "../public_updates.ts";
import type { Asset, Description } from "../runtime/description.ts";
import { Files, type Bytes } from "../runtime/files.ts";
import { Progress } from "../runtime/progress.ts";
import { Store as Assets } from "../runtime/store.ts";
import { Client, InputError, type BuiltIn, type Release, type Store } from "../updates/index.ts";
import { inWorkers } from "./decoding.ts";
import { Presence } from "./presence.ts";
import { readProbation, writeProbation, type Probation } from "./probation.ts";
import type { Ending, Home } from "./seam.ts";
import { selfTest } from "./selftest.ts";

/** Starts that did not end, one after another, before a release is given up. */
const MOST_STARTS = 3;

/** Where the client keeps what it knows and has. */
export interface Stores {
  readonly state: Store;
  readonly files: Store;
}

export class Following {
  readonly client: Client;
  readonly #home: Home;
  readonly #state: Store;
  /** Names this package by the files that it has itself. */
  readonly #package: string;
  readonly #presence: Presence;

  /** @throws InputError */
  constructor(options: UpdateOptions, home: Home, stores: Stores) {
    const { repository, root, line, variants = home.variants, channel } = options;
    const assets = models(home.description);
    this.#home = home;
    this.#state = stores.state;
    this.#package = assets.map(({ sha256 }) => sha256.slice(0, 16)).join();
    this.#presence = new Presence(`${address(repository)} ${line}`);
    this.client = new Client({
      ...stores,
      repository: address(repository),
      root: typeof root === "string" ? new TextEncoder().encode(root) : Uint8Array.from(root),
      line,
      variants,
      ...(channel === undefined ? {} : { channel }),
      selfTest: (release, signal) => selfTest(home, release, signal),
      builtIn: builtIn(home, assets),
      decoding: inWorkers(home.urls["decoder.js"]),
    });
  }

  /**
   * The newest release that was verified here; null: the package's own files.
   *
   * @param broken SHA-256 of releases that are not to be tried now.
   * @throws UpdateError
   */
  async newest(broken: ReadonlySet<string>): Promise<Release | null> {
    for (;;) {
      const release = await this.client.active();
      if (release === undefined || broken.has(release.sha256)) return null;
      const known = await readProbation(this.#state);
      // Of a package that is newer than the release the files go first, until the repository was asked what it wants.
      const newer = Date.parse(this.#home.description.created) > Date.parse(release.manifest.created);
      if (newer && known?.package !== this.#package) return null;
      // Several tabs may start at once, when a browser restores them.
      const unended = (known?.starts ?? 0) - (await this.#presence.count());
      if (known?.release !== release.sha256 || unended < MOST_STARTS) return release;
      await this.client.rollBack(`${MOST_STARTS} starts of it did not end`);
    }
  }

  /** A release is about to start. */
  async begin(release: string): Promise<void> {
    this.#presence.enter();
    await this.#count(release, 1);
  }

  /** What came of a start that began. One that failed stays counted as one that did not end. */
  async end(release: string, how: Ending): Promise<void> {
    this.#presence.leave();
    if (how !== "failed") await this.#count(release, how === "started" ? null : -1);
  }

  /** Count starts of a release that none ended well of yet. @param change null: one did */
  async #count(release: string, change: 1 | -1 | null): Promise<void> {
    const known = await readProbation(this.#state);
    if (known?.release !== release || known.starts === null) return;
    await writeProbation(this.#state, { ...known, starts: change === null ? null : known.starts + change });
  }

  /** Whether a release is of the files that the package has itself. */
  has({ manifest }: Release): boolean {
    const own = models(this.#home.description).map(({ sha256 }) => sha256);
    const { inputs, outputs } = manifest.golden;
    const golden = [...inputs.values(), ...outputs.values()];
    return manifest.files.every(({ name, sha256 }) => golden.includes(name) || own.includes(sha256));
  }

  /** What the repository wants is active: it was asked with this package. */
  async asked(release: Release): Promise<void> {
    const known = await readProbation(this.#state);
    const same = known?.release === release.sha256;
    if (same && known.package === this.#package) return;
    const found: Probation = { release: release.sha256, package: this.#package, starts: same ? known.starts : 0 };
    await writeProbation(this.#state, found);
  }
}

/** Files of the model that a package has itself, each once. */
function models({ runtimes }: Description): readonly (Asset & { readonly name: string })[] {
  const all = runtimes.flatMap(({ model }) => Object.entries(model).map(([name, asset]) => ({ name, ...asset })));
  return [...new Map(all.map((asset) => [asset.sha256, asset])).values()];
}

function builtIn({ description, urls, cache, read }: Home, assets: readonly (Asset & { readonly name: string })[]): BuiltIn {
  return {
    files: assets.map(({ name, sha256, bytes }) => ({ name, sha256, size_bytes: bytes })),
    read: async (sha256): Promise<Bytes | undefined> => {
      const asset = assets.find((each) => each.sha256 === sha256);
      if (asset === undefined) return undefined;
      const files = new Files(urls, await Assets.open(description.name, cache), new Progress(() => undefined), new AbortController().signal, read);
      return files.get(asset).catch(() => undefined); // then it is fetched from the repository
    },
  };
}

/** Absolute; what is relative is so to the page. */
function address(repository: string): string {
  const base = (globalThis as { document?: Document }).document?.baseURI;
  try {
    return new URL(repository, base).href;
  } catch (error) {
    throw new InputError(`${repository} is no address of a repository`, "Give https://HOST/...", { cause: error });
  }
}

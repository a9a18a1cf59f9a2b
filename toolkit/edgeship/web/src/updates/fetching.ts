import { isFile, type Bytes } from "./bytes.ts";
import type { Decoding } from "./decoding.ts";
import { download } from "./download.ts";
import { RefusedError, UpdateError } from "./errors.ts";
import type { Http } from "./http.ts";
import { held } from "./installed.ts";
import { bytesOf, MANIFEST_BYTES, readManifest, type File, type Manifest } from "./manifest.ts";
import { paths, type Line } from "./releases.ts";
import type { Store } from "./stores.ts";
import type { Repository, Target } from "./trust.ts";

/** How far a download is: files so far, in bytes on the wire. A patch that fails makes the total larger. */
export interface Progress {
  readonly phase: "check" | "download" | "test" | "done";
  readonly loaded: number;
  readonly total: number;
}

/** What a patch may begin from. */
type Base = Pick<File, "name" | "sha256" | "size_bytes">;

/** What is fetched for a file: nothing, where `targets` is empty; else the first that works. */
interface Step {
  readonly file: File;
  /** Patches with what they are for, the shortest first, then the stored file. */
  readonly targets: readonly { readonly target: Target; readonly base?: Base }[];
}

/** A release that is offered: its manifest, as the repository signed it. */
export interface Candidate {
  readonly version: string;
  readonly variant: string;
  readonly target: Target;
}

/** Bytes that getting a release takes, as planned. */
export const wireBytes = (steps: readonly Step[]): number =>
  steps.reduce((sum, { targets }) => sum + (targets[0]?.target.length ?? 0), 0);

/** Gets files of one repository into a store, where each lies under its SHA-256; all are held to what was signed. */
export class Fetching {
  constructor(
    private readonly line: Line,
    private readonly http: Http,
    private readonly store: Store,
    private readonly repository: Repository,
    private readonly tell: (progress: Progress) => void,
    private readonly decoding: Decoding,
  ) {}

  /** A document as it was signed; one that was fetched before is not fetched again. */
  async document(target: Target, most: number): Promise<Bytes> {
    if (target.length > most) throw new RefusedError(`${target.path} has ${target.length} bytes, ${most} are allowed`);
    const kept = await held(this.store, target.sha256, target.length);
    if (kept) return kept;
    const found = await download(this.http, this.store, target, () => undefined);
    await this.store.put(target.sha256, found);
    return found;
  }

  /** The manifest of a release. @throws RefusedError where it is that of another one. */
  async manifest({ target, version, variant }: Candidate): Promise<Manifest> {
    const found = readManifest(await this.document(target, MANIFEST_BYTES), target.path);
    const said = `${found.name} ${found.version ?? ""} ${found.format}-${found.variant}`;
    if (said !== `${this.line.model} ${version} ${variant}`) {
      throw new RefusedError(`${target.path} is the manifest of ${said}`);
    }
    const [bytes, most] = [bytesOf(found), this.http.limits.releaseBytes];
    if (bytes > most) throw new RefusedError(`${version} takes ${bytes} bytes, ${most} are allowed here`);
    return found;
  }

  /**
   * What has to be fetched for a release: nothing for files that are here, a patch where one is shorter, or the file.
   *
   * @param bases files that may be here.
   */
  async plan(of: Manifest, { version, variant }: Candidate, bases: readonly Base[]): Promise<readonly Step[]> {
    const here = new Set(await this.store.names());
    const there = bases.filter((base) => here.has(base.sha256));
    const steps = of.files.map(async (file): Promise<Step> => {
      if (await held(this.store, file.sha256, file.size_bytes)) return { file, targets: [] };
      const wire = file.stored ?? file;
      const path = `${paths.release(this.line, version, variant)}/${wire.name}`;
      const target = this.repository.offline(path);
      if (target?.sha256 !== wire.sha256 || target.length !== wire.size_bytes) {
        throw new RefusedError(`the manifest names ${path}, which was not signed as that`);
      }
      const patches = there.flatMap((base) => {
        const patch = this.repository.offline(paths.patch(this.line, base.sha256, file.sha256));
        return patch && patch.length < wire.size_bytes ? [{ target: patch, base }] : [];
      });
      patches.sort((a, b) => a.target.length - b.target.length);
      return { file, targets: [...patches, { target }] };
    });
    return Promise.all(steps);
  }

  /** Bring all files of a plan here. */
  async get(steps: readonly Step[]): Promise<void> {
    let [loaded, total] = [0, wireBytes(steps)];
    const more = (bytes: number): void => this.tell({ phase: "download", loaded: (loaded += bytes), total });
    for (const { file, targets } of steps) {
      for (const { target, base } of targets) {
        const before = loaded;
        try {
          const wire = await download(this.http, this.store, target, more);
          await this.#keep(file, base ? await this.#patched(file, base, wire) : await this.#plain(file, wire));
          break;
        } catch (error) {
          // Whatever goes wrong with a patch, the stored file is there; who ends the update, ends it.
          this.http.signal?.throwIfAborted();
          if (!base || (error instanceof UpdateError && error.code === "storage")) throw error;
          total += loaded - before + (targets.at(-1)?.target.length ?? 0) - target.length;
        }
      }
    }
  }

  async #patched(file: File, base: Base, patch: Bytes): Promise<Bytes> {
    const old = await held(this.store, base.sha256, base.size_bytes);
    if (!old) throw new RefusedError(`${base.name} is damaged`);
    return this.decoding.patch(old, patch, file.size_bytes);
  }

  async #plain({ stored, size_bytes }: File, wire: Bytes): Promise<Bytes> {
    return stored ? this.decoding.unpack(wire, stored.encoding, size_bytes) : wire;
  }

  async #keep(file: File, made: Bytes): Promise<void> {
    if (!(await isFile(made, file.sha256, file.size_bytes))) throw new RefusedError(`${file.name} is another file`);
    await this.store.put(file.sha256, made);
  }
}

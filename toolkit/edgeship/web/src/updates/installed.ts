import { isFile, type Bytes } from "./bytes.ts";
import { UpdateError } from "./errors.ts";
import { goldenNames, readManifest, type Manifest } from "./manifest.ts";
import type { Held, State } from "./state.ts";
import type { Store } from "./stores.ts";

/** A release with its files, each checked against the SHA-256 that was signed. */
export interface Release {
  readonly version: string;
  readonly variant: string;
  /** Of its manifest, which names all of it. */
  readonly sha256: string;
  readonly manifest: Manifest;
  /** Name in the manifest -> content. Golden samples are there in a self-test only. */
  readonly files: ReadonlyMap<string, Bytes>;
}

/** A file of the store, if it is undamaged. */
export async function held(store: Store, sha256: string, length: number): Promise<Bytes | undefined> {
  const found = await store.get(sha256);
  return found && (await isFile(found, sha256, length)) ? found : undefined;
}

/** The manifest of a release that is here; undefined where it was lost or damaged. */
export async function heldManifest(store: Store, of: Held | null): Promise<Manifest | undefined> {
  const bytes = of && (await held(store, of.manifest, of.length));
  try {
    return bytes ? readManifest(bytes) : undefined;
  } catch (error) {
    if (error instanceof UpdateError) return undefined; // written by another version of this client
    throw error;
  }
}

/** A release from the store; undefined where anything of it was lost or damaged. */
export async function load(store: Store, of: Held, golden: boolean): Promise<Release | undefined> {
  const manifest = await heldManifest(store, of);
  if (!manifest) return undefined;
  const tests = goldenNames(manifest);
  const files = new Map<string, Bytes>();
  for (const { name, sha256, size_bytes } of manifest.files) {
    if (!golden && tests.has(name)) continue;
    const found = await held(store, sha256, size_bytes);
    if (!found) return undefined;
    files.set(name, found);
  }
  return { version: of.version, variant: of.variant, sha256: of.manifest, manifest, files };
}

/** What runs: the active release, or the one before where that is damaged, in a variant that this page runs. */
export async function serving(
  store: Store,
  { active, previous, failed }: State,
  variants: readonly string[],
): Promise<{ held: Held; release: Release } | undefined> {
  for (const each of [active, previous]) {
    if (!each || !variants.includes(each.variant) || failed.some(({ manifest }) => manifest === each.manifest)) continue;
    const release = await load(store, each, false);
    if (release) return { held: each, release };
  }
  return undefined;
}

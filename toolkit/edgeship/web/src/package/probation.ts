/** How releases fared in this package: a page that dies while a release starts can say so only at its next visit. */
import type { Store } from "../updates/index.ts";

const NAME = "probation";

/** What is kept of the release that was taken last. */
export interface Probation {
  /** SHA-256 of its manifest. */
  readonly release: string;
  /** The package that it was taken in: updates of its files make another one. */
  readonly package: string;
  /** Begun and not ended; null: one ended well, which settles it. */
  readonly starts: number | null;
}

/** Null where nothing is kept, or it is damaged. @throws StorageError */
export async function readProbation(store: Store): Promise<Probation | null> {
  const bytes = await store.get(NAME);
  try {
    const found = JSON.parse(new TextDecoder().decode(bytes)) as Partial<Probation> | null;
    const { release, package: made, starts } = found ?? {};
    if (typeof release !== "string" || typeof made !== "string") return null;
    return { release, package: made, starts: typeof starts === "number" ? starts : null };
  } catch {
    return null;
  }
}

/** @throws StorageError */
export async function writeProbation(store: Store, found: Probation): Promise<void> {
  await store.put(NAME, new TextEncoder().encode(JSON.stringify(found)));
}

import { RefusedError } from "./errors.ts";
import { integer, list, map, object, text, type Shape } from "./shape.ts";

/** Roles whose keys, once replaced, let a repository begin anew (TUF 5.3.11). */
export const RENEWING = ["timestamp", "snapshot"] as const;

/**
 * What a client does not go back behind, kept apart from the metadata, which may be lost: a moment that has passed
 * (milliseconds since 1970), the newest root, who signs for the roles of `RENEWING` as digests, and the newest version
 * of each file of metadata.
 */
export const seen = object({ passed: integer(), root: integer(1), keys: list(text()), versions: map(integer()) });
export type Seen = Shape<typeof seen>;

/** Whether the keys of timestamp and snapshot are those of before. */
export const sameSigners = (before: Seen["keys"], now: Seen["keys"]): boolean => before.join() === now.join();

/** Refuse metadata older than what was seen. */
export function notOlder(name: string, version: number, known: number): void {
  if (version >= known) return;
  throw new RefusedError(
    `the repository's ${name} is version ${version}, and ${known} was seen already`,
    "It was set back, or somebody replays an old one. Nothing was changed.",
  );
}

/** Refuse a repository that is older than what was seen of it, whatever metadata were lost here. */
export function notBefore(before: Seen | undefined, now: Seen): void {
  if (!before) return;
  notOlder("root", now.root, before.root);
  if (!sameSigners(before.keys, now.keys)) return;
  for (const [name, version] of before.versions) notOlder(name, now.versions.get(name) ?? 0, version);
}

import type { Bytes } from "./bytes.ts";
import { RefusedError } from "./errors.ts";
import { canonical, parse } from "./json.ts";
import { key, verify, type Key } from "./keys.ts";
import { flag, integer, list, map, object, optional, text, unfit, type Read, type Shape } from "./shape.ts";

/** Largest metadata of each role, in bytes (docs/updates/repository.md). */
export const LIMITS = { root: 512_000, timestamp: 16_384, snapshot: 2_000_000, targets: 5_000_000 } as const;

const TOP_LEVEL = ["root", "timestamp", "snapshot", "targets"];
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/;

/** `YYYY-MM-DDThh:mm:ssZ`, as milliseconds since 1970. */
export const moment: Read<number> = (value, at) => {
  const found = Date.parse(text(MOMENT)(value, at));
  // The 30th of February is none: written again it would be another day.
  if (Number.isNaN(found) || new Date(found).toISOString() !== (value as string).replace("Z", ".000Z")) {
    throw unfit(at, "a moment such as 2026-11-20T10:00:00Z");
  }
  return found;
};

const digest = text(/^[0-9a-f]{64}$/);
const hashes = object({ sha256: digest }, true);
const keyids: Read<readonly string[]> = (value, at) => {
  const found = list(text())(value, at);
  if (new Set(found).size !== found.length) throw unfit(at, "a list with each key once");
  return found;
};
const signers = { keyids, threshold: integer(1) };
const role = object(signers, true);
/** Who signs for a role. */
export type Role = Shape<typeof role>;

const typed = object({ _type: text() }, true);
const head = { version: integer(1), expires: moment, spec_version: text(/^1\./) };
const consistent: Read<true> = (value, at) => {
  if (value !== true) throw unfit(at, "true: every file has a name of its own");
  return value;
};
const root = object(
  {
    ...head,
    consistent_snapshot: consistent,
    keys: map(key),
    roles: object({ root: role, timestamp: role, snapshot: role, targets: role }, true),
  },
  true,
);
/** What is said about other metadata: length and SHA-256 may be missing. */
const meta = object({ version: integer(1), length: optional(integer()), hashes: optional(hashes) }, true);
export type Meta = Shape<typeof meta>;
const timestamp = object({ ...head, meta: object({ "snapshot.json": meta }) }, true);
const snapshot = object({ ...head, meta: map(meta) }, true);

/** A file of a repository, as it was signed. */
const file = object({ length: integer(), hashes }, true);
const delegated = object(
  {
    ...signers,
    name: text(),
    terminating: flag,
    paths: optional(list(text())),
    path_hash_prefixes: optional(list(text(/^[0-9a-f]{0,64}$/))),
  },
  true,
);
/** A role that another one trusts with some paths. */
export type Delegated = Shape<typeof delegated>;

const delegation: Read<Delegated> = (value, at) => {
  const found = delegated(value, at);
  const ways = [found.paths, found.path_hash_prefixes].filter((way) => way !== undefined);
  if (ways.length !== 1) throw unfit(at, "with either paths or path_hash_prefixes");
  if (TOP_LEVEL.includes(found.name) || !found.name) throw unfit(`${at}.name`, "of no top-level role");
  return found;
};
// Not open: succinct_roles are not taken (docs/security.md).
const delegations = object({ keys: map(key), roles: list(delegation) });
const targets = object({ ...head, targets: map(file), delegations: optional(delegations) }, true);

const READERS = { root, timestamp, snapshot, targets };
export type Kind = keyof typeof READERS;
export type Root = Shape<typeof root>;
export type Timestamp = Shape<typeof timestamp>;
export type Snapshot = Shape<typeof snapshot>;
export type Targets = Shape<typeof targets>;
/** What metadata of a kind say. */
export interface Kinds {
  root: Root;
  timestamp: Timestamp;
  snapshot: Snapshot;
  targets: Targets;
}

const envelope = object(
  { signed: (value) => value, signatures: list(object({ keyid: text(), sig: text() }, true), 1024) },
  true,
);

/** Metadata that were read and not yet believed. */
export interface Signed<K extends Kind> {
  readonly name: string;
  readonly content: Kinds[K];
  /** What the signatures are about. */
  readonly bytes: Bytes;
  /** Key id -> signature. */
  readonly signatures: ReadonlyMap<string, string>;
}

/** Read metadata of one kind. @throws RefusedError for anything else. */
export function read<K extends Kind>(kind: K, bytes: Bytes, name: string = kind): Signed<K> {
  const found = envelope(parse(bytes, name), name);
  const { _type } = typed(found.signed, name);
  if (_type !== kind) throw new RefusedError(`${name} is metadata of ${_type.slice(0, 100)}, not of ${kind}`);
  const content = READERS[kind](found.signed, name) as Kinds[K];
  const signatures = new Map(found.signatures.map(({ keyid, sig }) => [keyid, sig]));
  if (signatures.size !== found.signatures.length) throw new RefusedError(`${name} has two signatures of one key`);
  return { name, content, bytes: canonical(found.signed), signatures };
}

/**
 * Believe metadata that enough keys of a role have signed. A key counts once, whatever ids it has.
 *
 * @throws RefusedError where they are too few.
 */
export async function believed<K extends Kind>(
  found: Signed<K>,
  keys: ReadonlyMap<string, Key>,
  { keyids: allowed, threshold }: Role,
): Promise<Kinds[K]> {
  const by = new Set<string>();
  for (const keyid of allowed) {
    const [known, signature] = [keys.get(keyid), found.signatures.get(keyid)];
    if (known && signature !== undefined && (await verify(known, signature, found.bytes))) by.add(known.keyval.public);
  }
  if (by.size < threshold) {
    throw new RefusedError(`${found.name} is signed by ${by.size} of the keys that may, ${threshold} are needed`);
  }
  return found.content;
}

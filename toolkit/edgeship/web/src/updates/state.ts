import { encode, hex, type Bytes } from "./bytes.ts";
import { UpdateError } from "./errors.ts";
import { parse } from "./json.ts";
import { variant, version } from "./releases.ts";
import { seen } from "./seen.ts";
import { integer, list, nullable, object, oneOf, text, type Shape } from "./shape.ts";
import type { Store } from "./stores.ts";

/** Failures that are remembered; an older one may be tried again. */
const MOST_FAILED = 64;
const NAME = "state";

const digest = text(/^[0-9a-f]{64}$/);
const held = object({ version, variant, manifest: digest, length: integer() });
/** A release that passed its self-test here: `manifest` is the SHA-256 that names it and all its files. */
export type Held = Shape<typeof held>;

const shape = object({
  schema: oneOf("edgeship.web/1"),
  line: text(),
  install_id: text(/^[0-9a-f]{32}$/),
  seen: nullable(seen),
  floor: nullable(version),
  revoked: list(version, 1000),
  active: nullable(held),
  previous: nullable(held),
  failed: list(object({ manifest: digest, reason: text() }), MOST_FAILED),
});
/** All that a client knows between two visits, but for metadata and files. */
export type State = Shape<typeof shape>;

/** What a client knows at first; its install id is drawn anew. */
export const nothing = (line: string): State => ({
  schema: "edgeship.web/1",
  line,
  install_id: hex(crypto.getRandomValues(new Uint8Array(16))),
  seen: null,
  floor: null,
  revoked: [],
  active: null,
  previous: null,
  failed: [],
});

/** The state of a line; where it was lost or damaged, its copy beside the files; where that was too, nothing. */
export async function readState(state: Store, files: Store, line: string): Promise<State> {
  for (const store of [state, files]) {
    const bytes = await store.get(NAME);
    const found = bytes && parsed(bytes);
    if (found?.line === line) return found;
  }
  return nothing(line);
}

function parsed(bytes: Bytes): State | undefined {
  try {
    return shape(parse(bytes, NAME), NAME);
  } catch (error) {
    if (error instanceof UpdateError) return undefined;
    throw error;
  }
}

/** Keep the state, and a copy of it beside the files. @throws StorageError */
export async function writeState(state: Store, files: Store, found: State): Promise<void> {
  const plain = JSON.stringify(found, (_, value: unknown): unknown =>
    value instanceof Map ? Object.fromEntries(value) : value,
  );
  for (const store of [state, files]) {
    const before = await store.get(NAME);
    if (!before || hex(before) !== hex(encode(plain))) await store.put(NAME, encode(plain));
  }
}

/** That a release failed here, too. */
export const withFailed = (found: State, manifest: string, reason: string): State["failed"] =>
  [...found.failed.filter((each) => each.manifest !== manifest), { manifest, reason: reason.slice(0, 1000) }].slice(-MOST_FAILED);

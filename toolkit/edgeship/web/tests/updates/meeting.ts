import type { Bytes } from "../../src/updates/bytes.ts";
import { Client, MemoryStore, UpdateError, type Options, type Store } from "../../src/updates/index.ts";

/** A repository: path -> SHA-256 of its content. */
export type Listing = Record<string, string>;

/** What a device meets (tests/vectors/repositories.json). */
export interface Case {
  name: string;
  root: string;
  before: string;
  now: string;
  repository: Listing;
  serves: string;
  refused: boolean;
}

export interface Repositories {
  line: string;
  variants: string[];
  install_id: string;
  enrolled: string;
  states: Record<string, Listing>;
  cases: Case[];
  files: Record<string, string>;
}

export interface Stores {
  state: Store;
  files: Store;
}

export const inMemory = (): Stores => ({ state: new MemoryStore(), files: new MemoryStore() });

export const ADDRESS = "https://repository.invalid";

/** Content of the vectors' files, by SHA-256. */
export const content =
  ({ files }: Repositories, bytesOf: (text: string) => Bytes) =>
  (digest: string): Bytes =>
    bytesOf(files[digest] ?? "");

/** Serves what a listing names, as a static web server does; no network. */
export function served(read: (digest: string) => Bytes, listing: () => Listing): typeof fetch {
  return (input) => {
    if (typeof input !== "string") throw new TypeError("the client asks for texts");
    const digest = listing()[input.slice(ADDRESS.length + 1)];
    const missing = new Response("not here", { status: 404 });
    return Promise.resolve(digest === undefined ? missing : new Response(read(digest)));
  };
}

/** A client that meets the repository of a case, at its moment. */
export const options = (all: Repositories, found: Case, read: (digest: string) => Bytes, stores: Stores): Options => ({
  ...stores,
  repository: ADDRESS,
  root: read(found.root),
  line: all.line,
  variants: all.variants,
  selfTest: () => Promise.resolve(),
  now: () => Date.parse(found.now),
  fetch: served(read, () => found.repository),
});

/** A client that updates by a vector, and what came of it. */
export async function meet(
  all: Repositories,
  found: Case,
  read: (digest: string) => Bytes,
  stores = inMemory(),
): Promise<{ refused: boolean; version: string | undefined; message: string; client: Client }> {
  const before = { ...found, repository: all.states[found.before] ?? {}, now: all.enrolled };
  const given = options(all, before, read, stores);
  const first = await new Client(given).update();
  if (first.version !== found.before.split(" ")[0]) throw new Error(`it begins with ${first.version}`);
  const client = new Client(options(all, found, read, stores));
  try {
    const { refused } = await client.update();
    return { refused: refused.length > 0, version: (await client.active())?.version, message: refused.join(), client };
  } catch (error) {
    if (!(error instanceof UpdateError)) throw error;
    return { refused: true, version: (await client.active())?.version, message: error.message, client };
  }
}

import { expect } from "vitest";
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

export const ADDRESS = "https://repository.invalid";

/** Serves what a listing names, as a static web server does; no network. */
export function served(content: (digest: string) => Bytes, listing: () => Listing): typeof fetch {
  return (input) => {
    if (typeof input !== "string") throw new TypeError("the client asks for texts");
    const path = input.slice(ADDRESS.length + 1);
    const digest = listing()[path];
    const missing = new Response("not here", { status: 404 });
    return Promise.resolve(digest === undefined ? missing : new Response(content(digest)));
  };
}

/** A client that updates by a vector, and what came of it. */
export async function meet(
  { line, variants, enrolled, states }: Repositories,
  found: Case,
  content: (digest: string) => Bytes,
  stores: { state: Store; files: Store } = { state: new MemoryStore(), files: new MemoryStore() },
): Promise<{ refused: boolean; version: string | undefined; message: string; client: Client }> {
  let [repository, now] = [states[found.before] ?? {}, Date.parse(enrolled)];
  const options: Options = {
    ...stores,
    repository: ADDRESS,
    root: content(found.root),
    line,
    variants,
    selfTest: () => Promise.resolve(),
    now: () => now,
    fetch: served(content, () => repository),
  };
  const client = new Client(options);
  expect((await client.update()).version).toBe(found.before.split(" ")[0]);
  [repository, now] = [found.repository, Date.parse(found.now)];
  try {
    const { refused } = await client.update();
    const version = (await client.active())?.version;
    return { refused: refused.length > 0, version, message: refused.join(), client };
  } catch (error) {
    if (!(error instanceof UpdateError)) throw error;
    return { refused: true, version: (await client.active())?.version, message: error.message, client };
  }
}

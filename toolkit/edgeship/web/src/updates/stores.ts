import type { Bytes } from "./bytes.ts";
import { StorageError } from "./errors.ts";

/** Bytes under names. What is read is never trusted: others write there too. All of it may be lost. */
export interface Store {
  get(name: string): Promise<Bytes | undefined>;
  /** Whole or not at all, whatever ends in between. @throws StorageError */
  put(name: string, bytes: Bytes): Promise<void>;
  delete(name: string): Promise<void>;
  names(): Promise<readonly string[]>;
}

/** Forgets everything when the page ends: for Node, tests, and browsers that store nothing. */
export class MemoryStore implements Store {
  readonly #held = new Map<string, Bytes>();

  get(name: string): Promise<Bytes | undefined> {
    return Promise.resolve(this.#held.get(name)?.slice());
  }

  put(name: string, bytes: Bytes): Promise<void> {
    this.#held.set(name, bytes.slice());
    return Promise.resolve();
  }

  delete(name: string): Promise<void> {
    this.#held.delete(name);
    return Promise.resolve();
  }

  names(): Promise<readonly string[]> {
    return Promise.resolve([...this.#held.keys()]);
  }
}

async function stored<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new StorageError(`this browser does not store: ${String(error)}`, undefined, { cause: error });
  }
}

/** Cache Storage, for files: each answer there is replaced at once. */
export class CacheStore implements Store {
  constructor(private readonly name: string) {}

  get(name: string): Promise<Bytes | undefined> {
    return this.#with(async (cache) => {
      const found = await cache.match(address(name));
      return found && new Uint8Array(await found.arrayBuffer());
    });
  }

  put(name: string, bytes: Bytes): Promise<void> {
    return this.#with((cache) => cache.put(address(name), new Response(bytes)));
  }

  async delete(name: string): Promise<void> {
    await this.#with((cache) => cache.delete(address(name)));
  }

  names(): Promise<readonly string[]> {
    return this.#with(async (cache) => (await cache.keys()).map(({ url }) => decodeURIComponent(url.slice(BASE.length))));
  }

  #with<T>(work: (cache: Cache) => Promise<T>): Promise<T> {
    return stored(async () => work(await caches.open(this.name)));
  }
}

/** No such host can be: what is kept under it is an answer to no other request of the page. */
const BASE = "https://edgeship.invalid/";
const address = (name: string): string => BASE + encodeURIComponent(name);

/** IndexedDB, for state and metadata: every change is one transaction. */
export class IndexedDbStore implements Store {
  constructor(private readonly name: string) {}

  async get(name: string): Promise<Bytes | undefined> {
    const found: unknown = await this.#with("readonly", (held) => held.get(name));
    return found instanceof Uint8Array ? (found as Bytes) : undefined;
  }

  async put(name: string, bytes: Bytes): Promise<void> {
    await this.#with("readwrite", (held) => held.put(bytes, name));
  }

  async delete(name: string): Promise<void> {
    await this.#with("readwrite", (held) => held.delete(name));
  }

  async names(): Promise<readonly string[]> {
    return (await this.#with("readonly", (held) => held.getAllKeys())).map(String);
  }

  #with<T>(mode: IDBTransactionMode, work: (held: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    return stored(async () => {
      const opening = indexedDB.open(this.name, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("bytes");
      const database = await result(opening);
      try {
        const transaction = database.transaction("bytes", mode, { durability: "strict" });
        const request = work(transaction.objectStore("bytes"));
        await new Promise((resolve, reject) => {
          transaction.oncomplete = resolve;
          transaction.onerror = transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
        });
        return request.result;
      } finally {
        database.close();
      }
    });
  }
}

const result = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("failed"));
  });

/**
 * The stores of a browser: IndexedDB for state, Cache Storage for files. Where the page may not store, both are in
 * memory (`persistent` false): the next visit begins anew.
 *
 * @param name tells clients of one origin apart, for example the line that they follow.
 */
export async function browserStores(name: string): Promise<{ state: Store; files: Store; persistent: boolean }> {
  const [state, files] = [new IndexedDbStore(`edgeship ${name}`), new CacheStore(`edgeship ${name}`)];
  try {
    await Promise.all([state.names(), files.names()]);
    return { state, files, persistent: true };
  } catch {
    return { state: new MemoryStore(), files: new MemoryStore(), persistent: false };
  }
}

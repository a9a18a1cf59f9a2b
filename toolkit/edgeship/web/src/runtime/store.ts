/**
 * Files of this package that the browser keeps, by their content: what a start without a network is made of.
 *
 * Cache Storage may be absent, blocked or full. That never stops a load: it becomes a notice.
 */
import type { Notice } from "../public.ts";
import { text } from "./errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

export class Store {
  readonly notices: Notice[] = [];
  #cache: Cache | null = null;

  /** @param name of the package; each has a store of its own */
  static async open(name: string, wanted: boolean): Promise<Store> {
    const store = new Store();
    if (!wanted || typeof caches === "undefined") return store;
    try {
      store.#cache = await caches.open(`edgeship ${name}`);
    } catch (error) {
      store.#notice(error);
    }
    return store;
  }

  /** The bytes kept under a digest; null where there are none. They may be damaged. */
  async get(sha256: string): Promise<Bytes | null> {
    try {
      const found = await this.#cache?.match(address(sha256));
      return found === undefined ? null : new Uint8Array(await found.arrayBuffer());
    } catch (error) {
      this.#notice(error);
      return null;
    }
  }

  async put(sha256: string, content: Bytes): Promise<void> {
    const headers = { "content-length": String(content.length), "content-type": "application/octet-stream" };
    try {
      await this.#cache?.put(address(sha256), new Response(new Blob([content]), { headers }));
    } catch (error) {
      this.#notice(error);
    }
  }

  async drop(sha256: string): Promise<void> {
    try {
      await this.#cache?.delete(address(sha256));
    } catch (error) {
      this.#notice(error);
    }
  }

  /** Forget what no file of this version needs. */
  async keepOnly(digests: ReadonlySet<string>): Promise<void> {
    try {
      for (const request of (await this.#cache?.keys()) ?? []) {
        if (!digests.has(request.url.slice(-64))) await this.#cache?.delete(request);
      }
    } catch (error) {
      this.#notice(error);
    }
  }

  #notice(error: unknown): void {
    const full = error instanceof Error && error.name === "QuotaExceededError";
    this.notices.push(
      full
        ? { code: "quota-exceeded", message: `the browser has no space left: ${text(error)}`, remedy: "The model works; the next start loads it again. Free some space." }
        : { code: "cache-blocked", message: `the browser does not store files: ${text(error)}`, remedy: "The model works; the next start loads it again. Allow this page to store data." },
    );
  }
}

/** No request ever goes there: the digest alone names a file, wherever it came from. */
function address(sha256: string): string {
  return `https://edgeship.invalid/sha256/${sha256}`;
}

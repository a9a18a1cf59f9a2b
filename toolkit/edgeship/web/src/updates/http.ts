import type { Bytes } from "./bytes.ts";
import { RefusedError, UnavailableError } from "./errors.ts";

/** How much a repository may take of a page. */
export interface Limits {
  /** For an answer to begin, and for metadata to be there, in seconds. */
  readonly seconds: number;
  /** Least rate of a file, in bytes a second. */
  readonly bytesPerSecond: number;
  /** Largest release, its files as they are used, in bytes. */
  readonly releaseBytes: number;
  /** Of a self-test. */
  readonly testSeconds: number;
}

/** Limits that hold where nothing else is said. */
export const LIMITS: Limits = { seconds: 60, bytesPerSecond: 1000, releaseBytes: 256 << 20, testSeconds: 120 };

/** Where a request begins, and what it may bring. */
interface Wish {
  /** Bytes that may come; more are refused. */
  readonly most: number;
  /** Seconds until all is there. */
  readonly seconds: number;
  /** First byte that is wanted. */
  readonly start: number;
  /** Takes each piece; `start` is its place in the file. */
  readonly piece: (bytes: Uint8Array, start: number) => unknown;
}

/**
 * GET and nothing else: bounded in time and bytes, whatever a server or a network in between does.
 *
 * @param address of the repository, without a slash at its end.
 * @param signal ends everything.
 * @param fetcher in place of the browser's `fetch`.
 */
export class Http {
  constructor(
    readonly address: string,
    readonly limits: Limits,
    readonly signal: AbortSignal | undefined,
    private readonly fetcher: typeof fetch = fetch,
  ) {}

  /** Metadata; undefined where there are none of this name (403, 404). @throws UnavailableError, RefusedError */
  async metadata(name: string, most: number): Promise<Bytes | undefined> {
    const pieces: Uint8Array[] = [];
    const url = `${this.address}/metadata/${name}`;
    const { seconds } = this.limits;
    const status = await this.get(url, { most, seconds, start: 0, piece: (bytes) => pieces.push(bytes) });
    if (status === 403 || status === 404) return undefined;
    if (status >= 400) throw new UnavailableError(`${url} answers ${status}`);
    const bytes = new Uint8Array(await new Blob(pieces as Bytes[]).arrayBuffer());
    // No metadata begins with markup, whatever its type is said to be.
    if (/^\s*</.test(new TextDecoder().decode(bytes.subarray(0, 64)))) throw page(url);
    return bytes;
  }

  /**
   * Ask for a file.
   *
   * @returns the status; from 400 on nothing was read.
   * @throws UnavailableError where no answer comes, it is too slow, breaks off, or is a page for people.
   * @throws RefusedError where more comes than may.
   */
  async get(url: string, { most, seconds, start, piece }: Wish): Promise<number> {
    const controller = new AbortController();
    const end = (): void => controller.abort(this.signal?.reason);
    this.signal?.addEventListener("abort", end);
    const late = new UnavailableError(`${url} answers too slowly`, "It goes on from there at the next check.");
    const timer = setTimeout(() => controller.abort(late), seconds * 1000);
    try {
      this.signal?.throwIfAborted();
      const { fetcher } = this; // called without `this`, which the browser's own does not take
      const answer = await fetcher(url, {
        cache: "no-store",
        credentials: "omit",
        referrerPolicy: "no-referrer",
        signal: controller.signal,
        ...(start ? { headers: { Range: `bytes=${start}-` } } : {}),
      });
      check(url, answer);
      if (answer.status < 400) await read(url, answer, most, answer.status === 206 ? start : 0, piece);
      return answer.status;
    } catch (error) {
      this.signal?.throwIfAborted();
      if (controller.signal.aborted) throw late;
      if (error instanceof RefusedError || error instanceof UnavailableError) throw error;
      throw new UnavailableError(`${url} cannot be fetched: ${String(error)}`, undefined, { cause: error });
    } finally {
      clearTimeout(timer);
      this.signal?.removeEventListener("abort", end);
      controller.abort(); // of what was not read
    }
  }
}

/** Networks that want a person to log in answer with a page of theirs, as if it were the file. */
function check(url: string, { status, headers, redirected, url: from }: Response): void {
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
  const isPage = type === "text/html" || type === "application/xhtml+xml";
  if (status === 511 || (status < 400 && isPage)) throw page(url);
  if (redirected && url.startsWith("https:") && !from.startsWith("https:")) {
    throw new UnavailableError(`${url} leads to ${from.slice(0, 200)}`, "Only https leads on from https.");
  }
}

const page = (url: string): UnavailableError =>
  new UnavailableError(`${url} answers with a web page`, "Does the network want a login first? Is the address right?");

async function read(url: string, { body }: Response, most: number, start: number, piece: Wish["piece"]): Promise<void> {
  const reader = body?.getReader();
  let at = start;
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    if (at + next.value.length > most) throw new RefusedError(`${url} has more than the ${most} bytes that it may`);
    piece(next.value, at);
    at += next.value.length;
  }
}

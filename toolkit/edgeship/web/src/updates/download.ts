import { isFile, type Bytes } from "./bytes.ts";
import { RefusedError, UnavailableError } from "./errors.ts";
import type { Http } from "./http.ts";
import type { Store } from "./stores.ts";
import type { Target } from "./trust.ts";

/** Of one file in one check, as long as each of them gets further. */
const MOST_ATTEMPTS = 5;

/** Where a file lies: every name has the SHA-256 before its last part. */
function address({ path, sha256 }: Target): string {
  const parts = path.split("/").map(encodeURIComponent);
  return [...parts.slice(0, -1), `${sha256}.${parts.at(-1) ?? ""}`].join("/");
}

/**
 * Fetch a file as it was signed. What came of it before is gone on with, and kept if it does not end.
 *
 * @param more is told of bytes that came.
 * @throws UnavailableError it cannot be had now.
 * @throws RefusedError what is served is another file.
 */
export async function download(http: Http, store: Store, file: Target, more: (bytes: number) => void): Promise<Bytes> {
  const url = `${http.address}/targets/${address(file)}`;
  const part = `${file.sha256}.part`;
  const made = new Uint8Array(file.length);
  let at = await begun(store, part, made);
  if (at) more(at);
  for (let attempt = 1; ; attempt++) {
    const start = at;
    const piece = (bytes: Uint8Array, from: number): void => {
      made.set(bytes, from);
      more(from + bytes.length - at);
      at = from + bytes.length;
    };
    try {
      await whole(http, url, { most: file.length, seconds: seconds(http, file.length - start), start, piece });
      if (at < file.length) throw new UnavailableError(`${url} ended after ${at} of ${file.length} bytes`);
    } catch (error) {
      if (!(error instanceof UnavailableError) || at <= start || attempt >= MOST_ATTEMPTS) {
        await (error instanceof RefusedError ? store.delete(part) : store.put(part, made.slice(0, at)));
        throw error;
      }
      continue; // a connection that was cut is taken up again
    }
    if (await isFile(made, file.sha256, file.length)) break;
    await store.delete(part);
    // What was there and what came do not go together: once more, from the beginning.
    if (!start) throw new RefusedError(`${url} is not the file that was signed`);
    more(-at);
    at = 0;
  }
  await store.delete(part);
  return made;
}

const seconds = (http: Http, bytes: number): number => http.limits.seconds + bytes / http.limits.bytesPerSecond;

/** Bytes of the file that came before; more than it has are none. */
async function begun(store: Store, part: string, made: Bytes): Promise<number> {
  const found = await store.get(part);
  if (!found || found.length >= made.length) return 0;
  made.set(found);
  return found.length;
}

async function whole(http: Http, url: string, wish: Parameters<Http["get"]>[1]): Promise<void> {
  if (!wish.most) return;
  const status = await http.get(url, wish);
  if (status === 416 && wish.start) await http.get(url, { ...wish, start: 0 });
  else if (status >= 400) throw new UnavailableError(`${url} answers ${status}`);
}

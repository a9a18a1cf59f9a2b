import { encode, type Bytes } from "./bytes.ts";
import { RefusedError } from "./errors.ts";

const DEEPEST = 64;

/**
 * Read JSON that may come from anywhere: UTF-8, at most 64 deep, no key twice in an object.
 *
 * @throws RefusedError naming `what` it should have been.
 */
export function parse(bytes: Bytes, what: string): unknown {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const keys = countKeys(text);
    const value: unknown = JSON.parse(text);
    // Of a key that is written twice JSON.parse keeps the last one only.
    if (keys !== ownKeys(value)) throw new SyntaxError("a key is there twice");
    return value;
  } catch (error) {
    throw new RefusedError(`${what} is no JSON: ${error instanceof Error ? error.message : ""}`);
  }
}

/** How many keys are written in a text, if it is JSON: a text with a colon behind it is a key. */
function countKeys(text: string): number {
  let [keys, depth] = [0, 0];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      while (++at < text.length && text[at] !== '"') if (text[at] === "\\") at++;
    } else if (char === ":") keys++;
    else if (char === "{" || char === "[") {
      if (++depth > DEEPEST) throw new SyntaxError("it is too deep");
    } else if (char === "}" || char === "]") depth--;
  }
  return keys;
}

function ownKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  const inner: unknown[] = Object.values(value);
  return inner.reduce<number>((sum, each) => sum + ownKeys(each), Array.isArray(value) ? 0 : inner.length);
}

/**
 * The canonical JSON that TUF metadata are signed as (securesystemslib): keys in the order of their code points, no
 * spaces, only `"` and `\` escaped.
 *
 * @throws RefusedError for numbers that are not whole and exact, and texts that are no Unicode.
 */
export const canonical = (value: unknown): Bytes => encode(written(value));

function written(value: unknown): string {
  if (typeof value === "string") {
    if (/\p{Cs}/u.test(value)) throw new RefusedError("a text has half a character");
    return `"${value.replace(/["\\]/g, "\\$&")}"`;
  }
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new RefusedError(`${value} cannot be signed`);
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(written).join()}]`;
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).sort(([a], [b]) => order(a, b));
    return `{${entries.map(([key, inner]) => `${written(key)}:${written(inner)}`).join()}}`;
  }
  return String(value); // true, false, null
}

/** JavaScript compares halves of characters; this compares characters. */
function order(a: string, b: string): number {
  const [x, y] = [Array.from(a), Array.from(b)];
  for (let at = 0; ; at++) {
    const difference = (x[at]?.codePointAt(0) ?? -1) - (y[at]?.codePointAt(0) ?? -1);
    if (difference || at >= x.length) return difference;
  }
}

/** SHA-256: the browser's own, or this one on pages that are not secure contexts, which have no WebCrypto. */

function root(value: number, power: number): number {
  return Math.floor((value ** power % 1) * 2 ** 32) | 0;
}

/** FIPS 180-4: fractional parts of the square roots and cube roots of the first primes. */
function constants(): [Int32Array, Int32Array] {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return [Int32Array.from(primes.slice(0, 8), (p) => root(p, 1 / 2)), Int32Array.from(primes, (p) => root(p, 1 / 3))];
}

/** Without WebCrypto. @returns lowercase hexadecimal */
export function sha256Plain(content: Uint8Array): string {
  const [state, k] = constants();
  const padded = new Uint8Array((((content.length + 8) >> 6) + 1) << 6);
  padded.set(content);
  padded[content.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(content.length / 2 ** 29));
  view.setUint32(padded.length - 4, (content.length << 3) >>> 0);
  const w = new Int32Array(64);
  for (let from = 0; from < padded.length; from += 64) block(state, k, w, view, from);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function turn(value: number, by: number): number {
  return (value >>> by) | (value << (32 - by));
}

function block(state: Int32Array, k: Int32Array, w: Int32Array, view: DataView, from: number): void {
  const word = (i: number): number => w[i] ?? 0;
  for (let i = 0; i < 64; i++) {
    if (i < 16) {
      w[i] = view.getInt32(from + 4 * i);
      continue;
    }
    const a = word(i - 15);
    const b = word(i - 2);
    w[i] = word(i - 16) + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + word(i - 7) + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10));
  }
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state;
  for (let i = 0; i < 64; i++) {
    const one = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + (k[i] ?? 0) + word(i)) | 0;
    const two = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => {
    state[i] = (state[i] ?? 0) + value;
  });
}

/** @returns lowercase hexadecimal */
export async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string> {
  const subtle = (globalThis as { crypto?: { subtle?: SubtleCrypto } }).crypto?.subtle;
  if (subtle === undefined) return sha256Plain(content);
  const digest = new Uint8Array(await subtle.digest("SHA-256", content));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

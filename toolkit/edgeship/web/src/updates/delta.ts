/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are within what was counted before */
import { hex, sha256, type Bytes } from "./bytes.ts";
import { PatchError, UpdateError } from "./errors.ts";
import { unpack } from "./unpack.ts";

/** Patches ESD1 (docs/updates/delta-format.md). Names are those of that page. */

const [COPY, LITERAL, NUMBERS, F32, F16, I8, U8, I32, GRID] = [0, 1, 2, 0, 1, 2, 3, 4, 5];
const [WIDTH, MANTISSA, SMALL] = [[4, 2, 1, 1, 4, 4], [23, 10, 2, 2, 2, 2], [0, 1, -1, 2, -2, 3, -3]];
const [ZERO, BUCKETS, FLIPS, SYMBOLS, CONTEXTS, ROWS, TOTAL] = [7, 8, 68, 77, 64, 6 * 64, 1 << 14];
/** Half octaves of each symbol but those of turned signs. */
const LEVEL = Array.from({ length: SYMBOLS }, (_, s) => [-2, 0, 0, 2, 2, 3, 3, 0][s] ?? (s < FLIPS ? s - 4 : 0));

/** Takes each operation: `start` is its place in the old file, `to` that in the new one. */
type Visit = (kind: number, type: number, count: number, start: number, factor: number, signed: boolean, to: number) => unknown;

const view = (bytes: Bytes): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const cutOff = (): PatchError => new PatchError("the patch is cut off");

class Reader {
  at = 0;
  constructor(readonly bytes: Bytes) {}

  take(count: number): Bytes {
    if (count > this.bytes.length - this.at) throw cutOff();
    return this.bytes.subarray(this.at, (this.at += count));
  }

  number(): number {
    for (let [value, scale] = [0, 1]; scale < 2 ** 35; scale *= 128) {
      const byte = this.take(1)[0]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new PatchError("the patch has a number that is too large");
  }
}

/**
 * The new file. Beside both files and the description it takes 3 bytes for each number.
 *
 * @param limit bytes that the new file may have.
 * @throws PatchError the patch is broken, for another file, makes a larger one, or needs what this browser has not.
 */
export async function decode(old: Bytes, patch: Bytes, limit = 2 ** 30): Promise<Bytes> {
  const reader = new Reader(patch);
  if (hex(reader.take(4)) !== "45534431") throw new PatchError("it is no patch: it does not begin with ESD1");
  const [kind, before, after, size] = [reader.take(1)[0]!, hex(reader.take(4)), hex(reader.take(4)), reader.number()];
  if (size > limit) throw new PatchError(`the patch makes ${size} bytes, ${limit} are allowed`);
  if (!(await sha256(old)).startsWith(before)) throw new PatchError("the patch was made for another file");
  if (kind > 1) throw new PatchError(`patches of kind ${kind} are unknown`);
  const made = await (kind ? patched(old, reader, size) : unpack(patch.subarray(reader.at), "br", size)).catch(retyped);
  if ((await sha256(made)).startsWith(after)) return made;
  throw new PatchError("the patch is damaged: it does not make the file that it was made for");
}

const retyped = (error: unknown): Promise<never> =>
  Promise.reject(error instanceof UpdateError ? new PatchError(error.message, { cause: error }) : (error as Error));

async function patched(old: Bytes, reader: Reader, size: number): Promise<Bytes> {
  const [described, packed, words, levels] = [reader.number(), reader.take(reader.number()), reader.number(), reader.take(6)];
  if (described > 2 * size + 4096) throw new PatchError("the patch describes more than the file that it makes");
  const [coded, stored] = [view(reader.take(2 * words)), new Bits(reader.bytes.subarray(reader.at))];
  const plain = await unpack(packed, "deflate-raw", described);
  let [elements, filled, at] = [0, 0, 0];
  // Operations are read anew each time: as a list a hostile description would take much more memory.
  const end = walk(plain, old.length, size, (kind, _, count) => (elements += kind === NUMBERS ? count : 0));
  const [from, features, made] = [view(old), new Uint16Array(elements), new Uint8Array(size)];
  walk(plain, old.length, size, (kind, type, count, start, factor) => {
    if (kind !== NUMBERS) return;
    for (let i = 0; i < count; i++) features[filled++] = feature(predicted(from, type, start, factor, i), type);
  });
  const [symbols, literals] = [decoded(features, levels, coded), new Reader(plain.subarray(end))];
  walk(plain, old.length, size, (kind, type, count, start, factor, signed, to) => {
    if (kind !== NUMBERS) { made.set(kind === COPY ? old.subarray(start, start + count) : literals.take(count), to); return; }
    const width = WIDTH[type]!;
    for (let i = 0; i < count; i++, to += width) {
      const value = restored(predicted(from, type, start, factor, i), symbols[at++]!, type, factor, signed, stored);
      for (let byte = 0; byte < width; byte++) made[to + byte] = value >>> (8 * byte);
    }
  });
  return made;
}

/** Go through the operations; where the literals begin. */
function walk(plain: Bytes, oldSize: number, size: number, visit: Visit): number {
  const reader = new Reader(plain);
  for (let [at, to, left] = [0, 0, Math.floor(size / 128) + 4096]; to < size; ) {
    if (!left--) throw new PatchError("the patch has more operations than a file of its size may have");
    const [code, count] = [reader.take(1)[0]!, reader.number()];
    const [kind, type, literal] = [code & 3, (code >> 2) & 15, (code & 3) === LITERAL];
    if (kind > NUMBERS || type > GRID || !count) throw new PatchError("the patch has an unknown operation");
    const zigzag = literal ? 0 : reader.number();
    const start = literal ? 0 : at + (zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2);
    const factor = !literal && code & 64 ? view(reader.take(8)).getFloat64(0, true) : 0;
    const bytes = kind === NUMBERS ? count * WIDTH[type]! : count;
    at = literal ? at + count : start + bytes; // a literal mostly replaces as much
    const inside = to + bytes <= size && start >= 0 && (literal || at <= oldSize) && Number.isFinite(factor);
    if (!inside) throw new PatchError("the patch reaches beyond the files");
    visit(kind, type, count, start, factor, code > 127, to);
    to += bytes;
  }
  return reader.at;
}

const floats = new Float32Array(1);
const float = new Uint32Array(floats.buffer); // the bits of that float
const clipped = (value: number, half: number): number => Math.max(-half, Math.min(half - 1, Math.floor(value + 0.5)));

/** What a number of the new file is expected to be, as an unsigned integer of its width. */
function predicted(old: DataView, type: number, start: number, factor: number, i: number): number {
  const at = start + i * WIDTH[type]!;
  if (type === F16) return old.getUint16(at, true);
  if (type === U8 || (type === I8 && !factor)) return old.getUint8(at);
  if (type === I8) return clipped(old.getInt8(at) * factor, 128) & 255;
  if (type === GRID || !factor) return old.getUint32(at, true);
  if (type === I32) return clipped(old.getInt32(at, true) * factor, 2 ** 31) >>> 0;
  floats[0] = old.getFloat32(at, true) * factor;
  return float[0]!;
}

/** The class of a number and the exponent of its prediction. */
const feature = (bits: number, type: number): number =>
  (type << 9) | (type === F32 ? (bits & 0x7fffffff) >>> 22 : type === F16 ? (bits & 0x7fff) >>> 9 : 0);

/** A number from its prediction, its symbol and stored bits. */
function restored(p: number, symbol: number, type: number, factor: number, signed: boolean, stored: Bits): number {
  const half = type === F16 ? 2 ** 15 : 2 ** 31;
  if (symbol === ZERO) return signed && stored.take(1) && type <= F16 ? half : 0;
  const sign = symbol >= BUCKETS && stored.take(1) ? -1 : 1;
  if (symbol >= FLIPS) {
    if (type > F16) throw new PatchError("the patch turns a sign where there is none");
    const [octave, mantissa] = [symbol - FLIPS, MANTISSA[type]!];
    const size = (octave ? 2 ** (mantissa - 3 + octave) : 0) + stored.take(mantissa - 3 + Math.max(octave, 1));
    return ((((p & (half - 1)) + sign * size) & (half - 1)) | (p >= half ? 0 : half)) >>> 0;
  }
  const [bucket, octave] = [symbol - BUCKETS, 1 + ((symbol - BUCKETS) >> 1)];
  const difference = sign * (bucket < 0 ? SMALL[symbol]! : (2 + (bucket & 1)) * 2 ** octave + stored.take(octave));
  if (type === GRID) {
    float[0] = p;
    floats[0] = floats[0]! + difference * factor;
    return float[0];
  }
  if (type > F16) return (p + difference) >>> 0;
  // Floats as integers in the order of their values.
  const ordered = (p < half ? p : half - 1 - p) + difference;
  const wrapped = type === F16 ? (ordered << 16) >> 16 : ordered | 0;
  return wrapped < 0 ? half - 1 - wrapped : wrapped;
}

/** Bits that are stored as they are, the lowest of a byte first. */
class Bits {
  #at = 0;
  constructor(private readonly bytes: Bytes) {}

  /** At most 31 of them. */
  take(count: number): number {
    const [at, bit, bytes] = [Math.floor(this.#at / 8), this.#at % 8, this.bytes];
    if ((this.#at += count) > 8 * bytes.length) throw cutOff();
    const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    const found = bit ? (low >>> bit) | (bytes[at + 4]! << (32 - bit)) : low;
    return count ? (found & (0xffffffff >>> (32 - count))) >>> 0 : 0;
  }
}

/** Symbols of all elements: an adaptive model, and an rANS coder of many lanes that advance together. */
function decoded(features: Uint16Array, levels: Bytes, words: DataView): Uint8Array {
  const [count, model, symbols] = [features.length, new Model(), new Uint8Array(features.length)];
  const lanes = 1 << Math.max(0, Math.min(9, 31 - Math.clz32(count >> 10)));
  const steps = Math.ceil(count / lanes);
  if (!count) return symbols; // there is nothing coded
  if (words.byteLength < 4 * lanes) throw cutOff();
  const states = Uint32Array.from({ length: lanes }, (_, lane) => words.getUint32(4 * lane, true));
  const sizes = Int32Array.from({ length: 6 * lanes }, (_, at) => 16 * levels[at % 6]!);
  for (let [step, next, word] = [0, 0, 4 * lanes]; step < steps; step++) {
    if (step >= next) {
      next = step + Math.min(32, Math.max(1, step >> 3));
      model.update();
    }
    for (let [i, lane] = [step, 0]; i < count; i += steps, lane++) {
      const [type, exponent, x] = [features[i]! >> 9, features[i]! & 511, states[lane]!];
      const size = sizes[6 * lane + type]!;
      const row = CONTEXTS * type + Math.min(CONTEXTS - 1, Math.max(0, (size >> 4) - exponent + 8));
      const slot = x & (TOTAL - 1);
      const symbol = (symbols[i] = model.find(row, slot));
      const start = model.start(row, symbol);
      let state = (model.start(row, symbol + 1) - start) * (x >>> 14) + slot - start;
      if (state < 65536) {
        if (word >= words.byteLength) throw cutOff();
        state = state * 65536 + words.getUint16(word, true);
        word += 2;
      }
      states[lane] = state;
      model.learn(row, symbol);
      if (symbol === ZERO) continue;
      const level = symbol < FLIPS ? LEVEL[symbol]! : type <= F16 ? 2 * MANTISSA[type]! : 0;
      sizes[6 * lane + type] = size + ((16 * (level + exponent) - size) >> 3);
    }
  }
  return symbols;
}

/** How likely each symbol is, for each class and context (a row). */
class Model {
  readonly #counts = Float64Array.from({ length: ROWS * SYMBOLS }, (_, at) => prior(Math.floor(at / SYMBOLS) % CONTEXTS, at % SYMBOLS));
  /** Where the range of each symbol begins, and behind them where the last ends. */
  readonly #starts = new Uint16Array(ROWS * (SYMBOLS + 1));
  /** The symbol in whose range every 64th slot lies. */
  readonly #hints = new Uint8Array(ROWS * 256);
  readonly #changed = new Uint8Array(ROWS).fill(1);

  start(row: number, symbol: number): number {
    return this.#starts[row * (SYMBOLS + 1) + symbol]!;
  }

  find(row: number, slot: number): number {
    let symbol = this.#hints[row * 256 + (slot >> 6)]!;
    while (this.start(row, symbol + 1) <= slot) symbol++;
    return symbol;
  }

  learn(row: number, symbol: number): void {
    this.#counts[row * SYMBOLS + symbol]! += 24;
    this.#changed[row] = 1;
  }

  update(): void {
    for (let row = 0; row < ROWS; row++) if (this.#changed[row]) this.#divide(row);
    this.#changed.fill(0);
  }

  #divide(row: number): void {
    const counts = this.#counts.subarray(row * SYMBOLS, (row + 1) * SYMBOLS);
    const total = counts.reduce((sum, count) => sum + count);
    const shares = counts.map((count) => 1 + Math.floor((count * (TOTAL - SYMBOLS)) / total));
    shares[counts.indexOf(Math.max(...counts))]! += TOTAL - shares.reduce((sum, share) => sum + share);
    shares.forEach((share, symbol) => {
      const end = this.start(row, symbol);
      this.#hints.fill(symbol, row * 256 + Math.ceil(end / 64), row * 256 + Math.ceil((end + share) / 64));
      this.#starts[row * (SYMBOLS + 1) + symbol + 1] = end + share;
    });
  }
}

function prior(context: number, symbol: number): number {
  const above = (symbol === ZERO || symbol >= FLIPS ? 99 : LEVEL[symbol]!) - (context - 8);
  return above <= 1 ? Math.max(1, 32 >> Math.min(5, (1 - above) >> 1)) : above === 2 ? 8 : above === 3 ? 2 : 1;
}

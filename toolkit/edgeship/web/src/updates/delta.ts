/* eslint-disable @typescript-eslint/no-non-null-assertion -- indices are within what was counted before */
import { hex, sha256, type Bytes } from "./bytes.ts";
import { PatchError, UpdateError } from "./errors.ts";
import { unpack } from "./unpack.ts";

/** Patches ESD1 (docs/updates/delta-format.md). Names are those of that page. */

const [COPY, LITERAL, NUMBERS] = [0, 1, 2];
const [F32, F16, I8, U8, I32, GRID] = [0, 1, 2, 3, 4, 5];
const WIDTH = [4, 2, 1, 1, 4, 4];
const MANTISSA = [23, 10, 2, 2, 2, 2];
const [ZERO, BUCKETS, FLIPS, SYMBOLS] = [7, 8, 68, 77];
const SMALL = [0, 1, -1, 2, -2, 3, -3];
const [CONTEXTS, ROWS, TOTAL] = [64, 6 * 64, 1 << 14];
/** Half octaves of each symbol but those of turned signs. */
const LEVEL = Array.from({ length: SYMBOLS }, (_, s) => [-2, 0, 0, 2, 2, 3, 3, 0][s] ?? (s < FLIPS ? s - 4 : 0));

interface Operation {
  readonly kind: number;
  readonly count: number;
  readonly start: number;
  readonly type: number;
  readonly factor: number;
  readonly signed: boolean;
}

class Reader {
  at = 0;
  constructor(readonly bytes: Bytes) {}

  take(count: number): Bytes {
    if (count > this.bytes.length - this.at) throw new PatchError("the patch is cut off");
    return this.bytes.subarray(this.at, (this.at += count));
  }

  number(): number {
    for (let value = 0, scale = 1; scale < 2 ** 35; scale *= 128) {
      const byte = this.take(1)[0] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new PatchError("the patch has a number that is too large");
  }
}

const view = (bytes: Bytes): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/**
 * The new file. Beside both files and the description it takes 3 bytes for each number.
 *
 * @param limit bytes that the new file may have.
 * @throws PatchError the patch is broken, for another file, makes a larger one, or needs what this browser has not.
 */
export async function decode(old: Bytes, patch: Bytes, limit = 2 ** 30): Promise<Bytes> {
  const reader = new Reader(patch);
  if (String.fromCharCode(...reader.take(4)) !== "ESD1") throw new PatchError("it is no patch: it does not begin with ESD1");
  const [kind, [before, after]] = [reader.take(1)[0], [reader.take(4), reader.take(4)]];
  const size = reader.number();
  if (size > limit) throw new PatchError(`the patch makes ${size} bytes, ${limit} are allowed`);
  if (!(await begins(old, before))) throw new PatchError("the patch was made for another file");
  if (kind !== 0 && kind !== 1) throw new PatchError(`patches of kind ${kind ?? 0} are unknown`);
  try {
    const made = kind ? await patched(old, reader, size) : await unpack(patch.subarray(reader.at), "br", size);
    if (await begins(made, after)) return made;
  } catch (error) {
    if (error instanceof PatchError || !(error instanceof UpdateError)) throw error;
    throw new PatchError(error.message, { cause: error });
  }
  throw new PatchError("the patch is damaged: it does not make the file that it was made for");
}

const begins = async (file: Bytes, digest: Bytes): Promise<boolean> =>
  (await sha256(file)).startsWith(hex(digest));

async function patched(old: Bytes, reader: Reader, size: number): Promise<Bytes> {
  const [described, packed] = [reader.number(), reader.take(reader.number())];
  if (described > 2 * size + 4096) throw new PatchError("the patch describes more than the file that it makes");
  const [words, levels] = [reader.number(), reader.take(6)];
  const coded = view(reader.take(2 * words));
  const stored = new Bits(reader.bytes.subarray(reader.at));
  const plain = await unpack(packed, "deflate-raw", described);
  let [elements, at] = [0, 0];
  // Operations are read anew each time: a hostile description would take much more memory as a list.
  const literals = walk(plain, old.length, size, ({ kind, count }) => (elements += kind === NUMBERS ? count : 0));
  const [from, features] = [view(old), new Uint16Array(elements)];
  walk(plain, old.length, size, (operation) => {
    if (operation.kind !== NUMBERS) return;
    for (let i = 0; i < operation.count; i++) features[at++] = feature(predicted(from, operation, i), operation.type);
  });
  const symbols = elements ? decoded(features, levels, coded) : new Uint8Array();
  return written(old, plain.subarray(literals), size, symbols, stored, (visit) => walk(plain, old.length, size, visit));
}

/** Go through the operations; where the literals begin. */
function walk(plain: Bytes, oldSize: number, size: number, visit: (found: Operation, to: number) => void): number {
  const reader = new Reader(plain);
  for (let at = 0, to = 0; to < size; ) {
    const [code, count] = [reader.take(1)[0] ?? 0, reader.number()];
    const [kind, type] = [code & 3, (code >> 2) & 15];
    if (kind > NUMBERS || type > GRID || count === 0) throw new PatchError("the patch has an unknown operation");
    const zigzag = kind === LITERAL ? 0 : reader.number();
    const start = kind === LITERAL ? 0 : at + (zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2);
    const factor = kind !== LITERAL && code & 64 ? view(reader.take(8)).getFloat64(0, true) : 0;
    const bytes = kind === NUMBERS ? count * (WIDTH[type] ?? 1) : count;
    at = kind === LITERAL ? at + count : start + bytes; // a literal mostly replaces as much
    if (to + bytes > size || start < 0 || (kind !== LITERAL && at > oldSize) || !Number.isFinite(factor)) {
      throw new PatchError("the patch reaches beyond the files");
    }
    visit({ kind, count, start, type, factor, signed: code > 127 }, to);
    to += bytes;
  }
  return reader.at;
}

const [floats, bits32] = ((array) => [array, new Uint32Array(array.buffer)] as const)(new Float32Array(1));
const clipped = (value: number, half: number): number => Math.max(-half, Math.min(half - 1, Math.floor(value + 0.5)));

/** What a number of the new file is expected to be, as an unsigned integer of its width. */
function predicted(old: DataView, { start, type, factor }: Operation, i: number): number {
  if (type === F16) return old.getUint16(start + 2 * i, true);
  const plain = factor === 0 || type === GRID || type === U8;
  if (type === I8 || type === U8) {
    return plain ? old.getUint8(start + i) : clipped(old.getInt8(start + i) * factor, 128) & 255;
  }
  if (plain) return old.getUint32(start + 4 * i, true);
  if (type === I32) return clipped(old.getInt32(start + 4 * i, true) * factor, 2 ** 31) >>> 0;
  floats[0] = old.getFloat32(start + 4 * i, true) * factor;
  return bits32[0] ?? 0;
}

/** The class of a number and the exponent of its prediction. */
const feature = (bits: number, type: number): number =>
  (type << 9) | (type === F32 ? (bits & 0x7fffffff) >>> 22 : type === F16 ? (bits & 0x7fff) >>> 9 : 0);

/** Symbols of all elements: an adaptive model, and an rANS coder of many lanes that advance together. */
function decoded(features: Uint16Array, levels: Bytes, words: DataView): Uint8Array {
  const count = features.length;
  const lanes = 1 << Math.max(0, Math.min(9, 31 - Math.clz32(count >> 10)));
  const steps = Math.ceil(count / lanes);
  if (words.byteLength < 4 * lanes) throw new PatchError("the patch is cut off");
  const states = Uint32Array.from({ length: lanes }, (_, lane) => words.getUint32(4 * lane, true));
  const sizes = Int32Array.from({ length: 6 * lanes }, (_, at) => 16 * (levels[at % 6] ?? 0));
  const [model, symbols] = [new Model(), new Uint8Array(count)];
  for (let [step, next, word] = [0, 0, 4 * lanes]; step < steps; step++) {
    if (step >= next) {
      next = step + Math.min(32, Math.max(1, step >> 3));
      model.update();
    }
    for (let [i, lane] = [step, 0]; i < count; i += steps, lane++) {
      const [type, exponent] = [features[i]! >> 9, features[i]! & 511];
      const [own, x] = [6 * lane + type, states[lane]!];
      const size = sizes[own]!;
      const row = CONTEXTS * type + Math.min(CONTEXTS - 1, Math.max(0, (size >> 4) - exponent + 8));
      const slot = x & (TOTAL - 1);
      const symbol = model.find(row, slot);
      const start = model.start(row, symbol);
      let state = (model.start(row, symbol + 1) - start) * (x >>> 14) + slot - start;
      if (state < 65536) {
        if (word >= words.byteLength) throw new PatchError("the patch is cut off");
        state = state * 65536 + words.getUint16(word, true);
        word += 2;
      }
      states[lane] = state;
      symbols[i] = symbol;
      model.learn(row, symbol);
      const level = symbol < FLIPS ? LEVEL[symbol]! : type <= F16 ? 2 * MANTISSA[type]! : 0;
      if (symbol !== ZERO) sizes[own] = size + ((16 * (level + exponent) - size) >> 3);
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
    const most = counts.reduce((best, count, at) => (count > counts[best]! ? at : best), 0);
    shares[most]! += TOTAL - shares.reduce((sum, share) => sum + share);
    let end = 0;
    shares.forEach((share, symbol) => {
      this.#hints.fill(symbol, row * 256 + Math.ceil(end / 64), row * 256 + Math.ceil((end + share) / 64));
      this.#starts[row * (SYMBOLS + 1) + symbol + 1] = end += share;
    });
  }
}

function prior(context: number, symbol: number): number {
  const above = (symbol === ZERO || symbol >= FLIPS ? 99 : LEVEL[symbol]!) - (context - 8);
  return above <= 1 ? Math.max(1, 32 >> Math.min(5, (1 - above) >> 1)) : above === 2 ? 8 : above === 3 ? 2 : 1;
}

/** Bits that are stored as they are, the lowest of a byte first. */
class Bits {
  #at = 0;
  #bit = 0;
  constructor(private readonly bytes: Bytes) {}

  /** At most 31 of them. */
  take(count: number): number {
    const [at, bit, bytes] = [this.#at, this.#bit, this.bytes];
    this.#at = at + ((bit + count) >> 3);
    this.#bit = (bit + count) & 7;
    if (this.#at + (this.#bit ? 1 : 0) > bytes.length) throw new PatchError("the patch is cut off");
    const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    const found = bit ? (low >>> bit) | (bytes[at + 4]! << (32 - bit)) : low;
    return count ? (found & (0xffffffff >>> (32 - count))) >>> 0 : 0;
  }
}

type Walk = (visit: (found: Operation, to: number) => void) => number;

function written(old: Bytes, literals: Bytes, size: number, symbols: Uint8Array, stored: Bits, walkAgain: Walk): Bytes {
  const [made, reader, from] = [new Uint8Array(size), new Reader(literals), view(old)];
  const to = view(made);
  let element = 0;
  walkAgain((operation, at) => {
    const { kind, count, start, type } = operation;
    if (kind === COPY) made.set(old.subarray(start, start + count), at);
    else if (kind === LITERAL) made.set(reader.take(count), at);
    else {
      const width = WIDTH[type]!;
      for (let i = 0; i < count; i++) {
        const value = restored(predicted(from, operation, i), symbols[element++]!, operation, stored);
        if (width === 1) to.setUint8(at + i, value);
        else if (width === 2) to.setUint16(at + 2 * i, value, true);
        else to.setUint32(at + 4 * i, value, true);
      }
    }
  });
  return made;
}

/** A number from its prediction, its symbol and stored bits. */
function restored(p: number, symbol: number, { type, factor, signed }: Operation, stored: Bits): number {
  const half = type === F16 ? 2 ** 15 : 2 ** 31;
  if (symbol === ZERO) return signed && stored.take(1) && type <= F16 ? half : 0;
  const negative = symbol >= BUCKETS && stored.take(1);
  if (symbol >= FLIPS) {
    if (type > F16) throw new PatchError("the patch turns a sign where there is none");
    const [octave, mantissa] = [symbol - FLIPS, MANTISSA[type]!];
    const size = (octave ? 2 ** (mantissa - 3 + octave) : 0) + stored.take(mantissa - 3 + Math.max(octave, 1));
    const magnitude = (p & (half - 1)) + (negative ? -size : size);
    return ((magnitude & (half - 1)) | (p >= half ? 0 : half)) >>> 0;
  }
  const [bucket, octave] = [symbol - BUCKETS, 1 + ((symbol - BUCKETS) >> 1)];
  const size = bucket < 0 ? SMALL[symbol]! : (2 + (bucket & 1)) * 2 ** octave + stored.take(octave);
  const difference = negative ? -size : size;
  if (type === GRID) {
    bits32[0] = p;
    floats[0] = floats[0]! + difference * factor;
    return bits32[0];
  }
  if (type > F16) return (p + difference) >>> 0;
  // Floats as integers in the order of their values.
  const ordered = (p < half ? p : half - 1 - p) + difference;
  const wrapped = type === F16 ? (ordered << 16) >> 16 : ordered | 0;
  return wrapped < 0 ? half - 1 - wrapped : wrapped;
}

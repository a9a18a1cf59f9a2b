/* eslint-disable @typescript-eslint/no-non-null-assertion -- what lies outside of an array is 0 in arithmetic on bits */
import type { Bytes } from "./bytes.ts";

/**
 * Zstandard (RFC 8878), for browsers that do not decode it: one frame without a dictionary. Names are those of the RFC.
 * Its checksum is not looked at: whoever calls this has a SHA-256.
 */

const broken = (): Error => new Error("it is broken");
const highBit = (value: number): number => 31 - Math.clz32(value);

/** Bits that end where another reader would begin: the last byte has a 1 before the first of them. */
class Backward {
  left: number;

  constructor(private readonly bytes: Uint8Array) {
    const last = bytes.at(-1) ?? 0;
    if (!last) throw broken();
    this.left = 8 * (bytes.length - 1) + highBit(last);
  }

  /** The next bits, at most 24; zeros where there are no more. */
  peek(count: number): number {
    const start = this.left - count;
    if (start < 0) return (this.#at(0) & ((1 << Math.max(0, this.left)) - 1)) << Math.min(31, -start);
    return (this.#at(start >> 3) >>> (start & 7)) & ((1 << count) - 1);
  }

  read(count: number): number {
    const high = count > 16 ? this.read(count - 16) * 65536 : 0;
    const low = Math.min(16, count);
    const found = this.peek(low);
    this.left -= low;
    return high + found;
  }

  #at(at: number): number {
    const { bytes } = this;
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
}

/** A table of finite state entropy (section 4.1): for each state its symbol, bits to read, and what they are added to. */
interface Table {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
  readonly bases: Uint16Array;
}

function table(log: number, shares: readonly number[]): Table {
  const size = 1 << log;
  const [symbols, bits, bases] = [new Uint8Array(size), new Uint8Array(size), new Uint16Array(size)];
  const next = shares.map((share) => Math.abs(share));
  let high = size;
  shares.forEach((share, symbol) => {
    if (share < 0) symbols[--high] = symbol;
  });
  let at = 0;
  shares.forEach((share, symbol) => {
    for (let i = 0; i < share; i++) {
      symbols[at] = symbol;
      do at = (at + (size >> 1) + (size >> 3) + 3) & (size - 1);
      while (at >= high);
    }
  });
  if (at) throw broken();
  symbols.forEach((symbol, state) => {
    const value = next[symbol]!++;
    bits[state] = log - highBit(value);
    bases[state] = (value << bits[state]) - size;
  });
  return { log, symbols, bits, bases };
}

/** Shares of symbols as they are written (section 4.1.1), and how many bytes that took. */
function description(bytes: Uint8Array, mostLog: number, mostSymbols: number): [Table, number] {
  let at = 0;
  const peek = (count: number): number => {
    const from = at >> 3;
    const found = bytes[from]! | (bytes[from + 1]! << 8) | (bytes[from + 2]! << 16);
    return (found >>> (at & 7)) & ((1 << count) - 1);
  };
  const log = peek(4) + 5;
  at += 4;
  if (log > mostLog) throw broken();
  const shares: number[] = [];
  for (let rest = 1 << log; rest > 0; ) {
    const width = highBit(rest + 1) + 1;
    const [low, short] = [(1 << (width - 1)) - 1, (1 << width) - 2 - rest];
    let value = peek(width);
    at += width;
    if ((value & low) < short) {
      value &= low;
      at--;
    } else if (value > low) value -= short;
    shares.push(value - 1);
    rest -= Math.abs(value - 1);
    for (let more = value === 1 ? 3 : 0; more === 3; ) {
      more = peek(2);
      at += 2;
      for (let i = 0; i < more; i++) shares.push(0);
    }
    if (rest < 0 || shares.length > mostSymbols || at > 8 * bytes.length) throw broken();
  }
  return [table(log, shares), (at + 7) >> 3];
}

/** Codes of literals (section 4.2): for each value of `log` bits a symbol, and how many of the bits are its own. */
interface Huffman {
  readonly log: number;
  readonly symbols: Uint8Array;
  readonly bits: Uint8Array;
}

function huffman(bytes: Uint8Array): [Huffman, number] {
  const first = bytes[0]!;
  const used = 1 + (first < 128 ? first : (first - 126) >> 1);
  if (used > bytes.length) throw broken();
  const given = bytes.subarray(1, used);
  const weights =
    first < 128 ? fseWeights(given) : Array.from({ length: first - 127 }, (_, i) => (i % 2 ? given[i >> 1]! & 15 : given[i >> 1]! >> 4));
  const sum = weights.reduce((total, weight) => total + (weight && 1 << (weight - 1)), 0);
  const log = highBit(sum) + 1;
  const rest = (1 << log) - sum;
  // The last weight is not written: it makes the sum a power of two.
  if (!sum || log > 11 || rest & (rest - 1) || weights.length > 255) throw broken();
  weights.push(highBit(rest) + 1);
  const [symbols, bits] = [new Uint8Array(1 << log), new Uint8Array(1 << log)];
  let at = 0;
  for (let weight = 1; weight <= log; weight++) {
    weights.forEach((own, symbol) => {
      if (own !== weight) return;
      const end = at + (1 << (weight - 1));
      symbols.fill(symbol, at, end);
      bits.fill(log + 1 - weight, at, end);
      at = end;
    });
  }
  return [{ log, symbols, bits }, used];
}

function fseWeights(bytes: Uint8Array): number[] {
  const [{ log, symbols, bits, bases }, used] = description(bytes, 6, 12);
  const from = new Backward(bytes.subarray(used));
  const states = [from.read(log), from.read(log)];
  const weights: number[] = [];
  for (let turn = 0; weights.length < 256; turn ^= 1) {
    const state = states[turn]!;
    weights.push(symbols[state]!);
    if (from.left < bits[state]!) {
      weights.push(symbols[states[turn ^ 1]!]!);
      return weights;
    }
    states[turn] = bases[state]! + from.read(bits[state]!);
  }
  throw broken();
}

function decodeLiterals({ log, symbols, bits }: Huffman, bytes: Uint8Array, into: Uint8Array): void {
  const from = new Backward(bytes);
  for (let i = 0; i < into.length; i++) {
    const code = from.peek(log);
    into[i] = symbols[code]!;
    from.left -= bits[code]!;
  }
  if (from.left) throw broken();
}

const ones = (count: number): number[] => Array<number>(count).fill(1);
const MINUS = Array<number>(7).fill(-1);
const TWOS = Array<number>(12).fill(2);
const LITERAL_BITS = [...Array<number>(16).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const MATCH_BITS = [...Array<number>(32).fill(0), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
/** Each code begins where the one before ends. */
const bases = (bits: readonly number[], first: number): number[] =>
  bits.map((_, code) => bits.slice(0, code).reduce((sum, count) => sum + (1 << count), first));
const [LITERAL_BASES, MATCH_BASES] = [bases(LITERAL_BITS, 0), bases(MATCH_BITS, 3)];
/** Of literal lengths, offsets and match lengths: the largest log, symbols, and what holds where nothing is written. */
const CODES = [
  { log: 9, most: 36, plain: table(6, [4, 3, ...TWOS.slice(1), 1, 1, 1, ...TWOS.slice(3), 3, 2, ...ones(5), ...MINUS.slice(3)]) },
  { log: 8, most: 32, plain: table(5, [...ones(6), 2, 2, 2, ...ones(15), ...MINUS.slice(2)]) },
  { log: 9, most: 53, plain: table(6, [1, 4, 3, ...TWOS.slice(6), ...ones(37), ...MINUS]) },
] as const;

/** Decodes the blocks of one frame into `made`, and remembers what they share. */
class Frame {
  #at = 0;
  #huffman: Huffman | undefined;
  readonly #tables: (Table | undefined)[] = [];
  readonly #offsets = [1, 4, 8];

  constructor(private readonly made: Bytes) {}

  get size(): number {
    return this.#at;
  }

  put(bytes: Uint8Array): void {
    this.made.set(bytes, this.#at); // a RangeError where there is no room
    this.#at += bytes.length;
  }

  compressed(block: Uint8Array): void {
    const [literals, used] = this.#literals(block);
    this.#sequences(block.subarray(used), literals);
  }

  /** Section 3.1.1.3.1: the literals, and how many bytes they took. */
  #literals(block: Uint8Array): [Uint8Array, number] {
    const head = block[0]! + block[1]! * 2 ** 8 + block[2]! * 2 ** 16 + (block[3] ?? 0) * 2 ** 24 + (block[4] ?? 0) * 2 ** 32;
    const [type, format] = [block[0]! & 3, (block[0]! >> 2) & 3];
    if (type < 2) {
      const [used, shift, bits] = [[1, 3, 5], [2, 4, 12], [1, 3, 5], [3, 4, 20]][format] as [number, number, number];
      const size = (block.length >= 3 ? head : (block[0]! | (block[1]! << 8)) >>> 0) / 2 ** shift % 2 ** bits | 0;
      if (type) return [new Uint8Array(size).fill(block[used]!), used + 1];
      return [block.subarray(used, used + size), used + size];
    }
    const [used, bits] = [[3, 10], [3, 10], [4, 14], [5, 18]][format] as [number, number];
    const size = (head / 16) % 2 ** bits | 0;
    const end = used + (Math.floor(head / 2 ** (4 + bits)) % 2 ** bits);
    if (end > block.length) throw broken();
    let streams = block.subarray(used, end);
    if (type === 2) {
      const [found, taken] = huffman(streams);
      this.#huffman = found;
      streams = streams.subarray(taken);
    }
    if (!this.#huffman) throw broken();
    const made = new Uint8Array(size);
    if (format === 0) decodeLiterals(this.#huffman, streams, made);
    else this.#fourStreams(this.#huffman, streams, made);
    return [made, end];
  }

  #fourStreams(by: Huffman, streams: Uint8Array, made: Uint8Array): void {
    const part = (made.length + 3) >> 2;
    let at = 6;
    for (let i = 0; i < 4; i++) {
      const end = i < 3 ? at + streams[2 * i]! + (streams[2 * i + 1]! << 8) : streams.length;
      decodeLiterals(by, streams.subarray(at, end), made.subarray(i * part, i < 3 ? (i + 1) * part : made.length));
      at = end;
    }
  }

  /** Section 3.1.1.3.2. */
  #sequences(bytes: Uint8Array, literals: Uint8Array): void {
    const first = bytes[0] ?? 0;
    let at = first < 128 ? 1 : first < 255 ? 2 : 3;
    const count = first < 128 ? first : first < 255 ? ((first - 128) << 8) + bytes[1]! : bytes[1]! + (bytes[2]! << 8) + 0x7f00;
    if (!count) { this.put(literals); return; }
    const modes = bytes[at++]!;
    const [lengths, offsets, matches] = CODES.map(({ log, most, plain }, kind): Table => {
      const mode = (modes >> (6 - 2 * kind)) & 3;
      if (mode === 0) this.#tables[kind] = plain;
      if (mode === 1) this.#tables[kind] = { log: 0, symbols: bytes.subarray(at, ++at), bits: new Uint8Array(1), bases: new Uint16Array(1) };
      if (mode === 2) {
        const [found, used] = description(bytes.subarray(at), log, most);
        this.#tables[kind] = found;
        at += used;
      }
      const found = this.#tables[kind];
      if (!found) throw broken();
      return found;
    }) as [Table, Table, Table];
    const from = new Backward(bytes.subarray(at));
    const states = [from.read(lengths.log), from.read(offsets.log), from.read(matches.log)];
    let literal = 0;
    for (let i = 1; i <= count; i++) {
      const [code, offsetCode, matchCode] = [lengths.symbols[states[0]!]!, offsets.symbols[states[1]!]!, matches.symbols[states[2]!]!];
      if (code > 35 || offsetCode > 31 || matchCode > 52) throw broken();
      const offset = 2 ** offsetCode + from.read(offsetCode);
      const match = MATCH_BASES[matchCode]! + from.read(MATCH_BITS[matchCode]!);
      const length = LITERAL_BASES[code]! + from.read(LITERAL_BITS[code]!);
      if (i < count) {
        for (const [kind, { bits, bases }] of [[0, lengths], [2, matches], [1, offsets]] as const) {
          const state = states[kind]!;
          states[kind] = bases[state]! + from.read(bits[state]!);
        }
      }
      if (literal + length > literals.length || from.left < 0) throw broken();
      this.put(literals.subarray(literal, (literal += length)));
      this.#copy(this.#offset(offset, length), match);
    }
    if (from.left) throw broken();
    this.put(literals.subarray(literal));
  }

  /** Section 3.1.1.5: one of the last three offsets, or a new one. */
  #offset(value: number, length: number): number {
    const known = this.#offsets;
    const at = value > 3 ? 3 : value - (length ? 1 : 0);
    const found = value > 3 ? value - 3 : at < 3 ? known[at]! : known[0]! - 1;
    known.splice(Math.min(at, 2), 1);
    known.unshift(found);
    return found;
  }

  #copy(offset: number, count: number): void {
    if (offset < 1 || offset > this.#at || this.#at + count > this.made.length) throw broken();
    if (offset >= count) this.made.copyWithin(this.#at, this.#at - offset, this.#at - offset + count);
    else for (let i = 0; i < count; i++) this.made[this.#at + i] = this.made[this.#at + i - offset]!;
    this.#at += count;
  }
}

/** Decode to exactly `size` bytes. @throws Error or RangeError for what is broken, shorter or longer */
export function unzstd(packed: Bytes, size: number): Bytes {
  const made = new Uint8Array(size);
  const frame = new Frame(made);
  const head = packed[4] ?? 0;
  const single = (head >> 5) & 1;
  if (packed.length < 6 || new DataView(packed.buffer, packed.byteOffset).getUint32(0, true) !== 0xfd2fb528 || head & 11) {
    throw broken(); // no frame, a reserved bit, or a dictionary
  }
  let at = 5 + (single ? 0 : 1) + ([single, 2, 4, 8][head >> 6] ?? 0);
  for (let last = 0; !last; ) {
    if (at + 3 > packed.length) throw broken();
    const block = packed[at]! | (packed[at + 1]! << 8) | (packed[at + 2]! << 16);
    const [type, length] = [(block >> 1) & 3, block >> 3];
    last = block & 1;
    at += 3;
    const end = at + (type === 1 ? 1 : length);
    if (type > 2 || end > packed.length || length > 1 << 17) throw broken();
    if (type === 0) frame.put(packed.subarray(at, end));
    else if (type === 1) frame.put(new Uint8Array(length).fill(packed[at]!));
    else frame.compressed(packed.subarray(at, end));
    at = end;
  }
  at += head & 4; // the checksum
  if (at !== packed.length || frame.size !== size) throw broken();
  return made;
}

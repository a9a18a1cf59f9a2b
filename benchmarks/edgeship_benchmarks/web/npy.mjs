/**
 * NumPy's .npy files (format 1.0 to 3.0), read and written in rows of the first axis, in Node and in browsers.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */

/** An error for the caller: the class name in edgeship's tree, what was given, what to try. */
export class Fault extends Error {
  /** @param {string} kind @param {string} message @param {string} [remedy] */
  constructor(kind, message, remedy = '') {
    super(message);
    this.kind = kind;
    this.remedy = remedy;
  }
}

/**
 * What a runtime threw, as an error for the caller. A trap leaves the memory of WebAssembly as it was in the middle of
 * something: the caller hears that the agent crashed, and starts another one.
 */
export function asFault(error, words, remedy = '') {
  if (error instanceof Fault) return error;
  const kind = error instanceof WebAssembly.RuntimeError ? 'ChildCrashed' : 'ArtifactError';
  return new Fault(kind, `${words}: ${error?.message ?? error}`, remedy);
}

/** Type code in a header -> NumPy name and the array that holds it. All little endian. */
const TYPES = {
  '<f4': ['float32', Float32Array], '<f8': ['float64', Float64Array],
  '|i1': ['int8', Int8Array], '<i2': ['int16', Int16Array], '<i4': ['int32', Int32Array], '<i8': ['int64', BigInt64Array],
  '|u1': ['uint8', Uint8Array], '<u2': ['uint16', Uint16Array], '<u4': ['uint32', Uint32Array],
  '<u8': ['uint64', BigUint64Array], '|b1': ['bool', Uint8Array],
};
const CODES = Object.fromEntries(Object.entries(TYPES).map(([code, [dtype]]) => [dtype, code]));
/** NumPy name -> the array that holds it. */
export const ARRAYS = Object.fromEntries(Object.values(TYPES));
const MAX_HEADER = 1 << 16;

/**
 * Bytes that can be read at a position: a file in Node, a buffer in a browser.
 * @typedef {{size: number, read: (position: number, length: number) => Uint8Array, close: () => void}} Source
 * `read` gives a copy that starts its own buffer, shorter where the source ends.
 */

/** @param {ArrayBuffer} buffer @returns {Source} */
export function memory(buffer) {
  return { size: buffer.byteLength, read: (position, length) => new Uint8Array(buffer.slice(position, position + length)), close() {} };
}

/** .npy data of numbers. */
export class NpyReader {
  /** @param {Source} source @param {string} name how the caller calls these data */
  constructor(source, name) {
    this.name = name;
    this.source = source;
    const text = this.header();
    const [, code] = /'descr': '([^']+)'/.exec(text) ?? [];
    const [, order] = /'fortran_order': (True|False)/.exec(text) ?? [];
    const [, dims] = /'shape': \(([0-9, ]*)\)/.exec(text) ?? [];
    if (!order || dims === undefined || !(code in TYPES)) {
      throw new Fault('DataError', `input '${name}' is ${code ?? 'no .npy file of numbers'}`, `Allowed: ${Object.keys(TYPES).join(' ')}.`);
    }
    [this.dtype, this.type] = TYPES[code];
    /** @type {number[]} */
    this.shape = dims.split(',').filter((d) => d.trim()).map(Number);
    if (!this.shape.length) throw new Fault('DataError', `input '${name}' is a single number`, 'Give samples along the first axis.');
    this.rowSize = this.shape.slice(1).reduce((a, b) => a * b, 1);
    const bytes = source.size - this.start;
    if (bytes !== this.shape[0] * this.rowSize * this.type.BYTES_PER_ELEMENT) {
      throw new Fault('DataError', `input '${name}' is truncated or too long for shape ${this.shape}`);
    }
    this.whole = order === 'True' && this.shape.length > 1 ? this.rowMajor() : null;
  }

  /** @returns {string} the header's dictionary; sets where the numbers start */
  header() {
    const prefix = this.source.read(0, 12);
    if (prefix.length < 12 || latin1(prefix.subarray(0, 6)) !== '\x93NUMPY') {
      throw new Fault('DataError', `input '${this.name}' is no .npy file`);
    }
    const view = new DataView(prefix.buffer, prefix.byteOffset);
    const wide = prefix[6] > 1;
    const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
    const begin = wide ? 12 : 10;
    if (length > MAX_HEADER) throw new Fault('DataError', `input '${this.name}' has a header of ${length} bytes`);
    this.start = begin + length;
    return latin1(this.source.read(begin, length));
  }

  /** Column-major data in the order of rows: the file's axes are the array's, reversed. */
  rowMajor() {
    const count = this.shape[0] * this.rowSize;
    const given = new this.type(this.source.read(this.start, count * this.type.BYTES_PER_ELEMENT).buffer, 0, count);
    const result = new this.type(count);
    const index = this.shape.map(() => 0);
    const strides = this.shape.map((_, axis) => this.shape.slice(0, axis).reduce((a, b) => a * b, 1));
    for (let k = 0; k < count; k++) {
      result[k] = given[index.reduce((sum, i, axis) => sum + i * strides[axis], 0)];
      for (let axis = index.length - 1; axis >= 0 && ++index[axis] === this.shape[axis]; axis--) index[axis] = 0;
    }
    return result;
  }

  /** Rows [from, to) as one flat typed array. @param {number} from @param {number} to */
  rows(from, to) {
    if (this.whole) return this.whole.slice(from * this.rowSize, to * this.rowSize);
    const rowBytes = this.rowSize * this.type.BYTES_PER_ELEMENT;
    const bytes = this.source.read(this.start + from * rowBytes, (to - from) * rowBytes);
    return new this.type(bytes.buffer, 0, (to - from) * this.rowSize);
  }

  close() {
    this.source.close();
  }
}

/** What a .npy file begins with. @param {string} dtype @param {number[]} shape of the whole array @returns {Uint8Array} */
export function npyHeader(dtype, shape) {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${CODES[dtype]}', 'fortran_order': False, 'shape': (${dims}), }`;
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
  const bytes = Uint8Array.from(`\x93NUMPY\x01\x00..${padded}`, (c) => c.charCodeAt(0));
  new DataView(bytes.buffer).setUint16(8, padded.length, true);
  return bytes;
}

/** The bytes of a typed array, not copied. @param {ArrayBufferView} values */
export function bytesOf(values) {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function latin1(bytes) {
  return String.fromCharCode(...bytes);
}

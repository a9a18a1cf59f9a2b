/**
 * NumPy's .npy files (format 1.0 to 3.0), read and written in rows of the first axis.
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
import fs from 'node:fs';

/** An error for the caller: the class name in edgeship's tree, what was given, what to try. */
export class Fault extends Error {
  /** @param {string} kind @param {string} message @param {string} [remedy] */
  constructor(kind, message, remedy = '') {
    super(message);
    this.kind = kind;
    this.remedy = remedy;
  }
}

/** Type code in a header -> NumPy name and the array that holds it. All little endian. */
const TYPES = {
  '<f4': ['float32', Float32Array], '<f8': ['float64', Float64Array],
  '|i1': ['int8', Int8Array], '<i2': ['int16', Int16Array], '<i4': ['int32', Int32Array], '<i8': ['int64', BigInt64Array],
  '|u1': ['uint8', Uint8Array], '<u2': ['uint16', Uint16Array], '<u4': ['uint32', Uint32Array],
  '<u8': ['uint64', BigUint64Array], '|b1': ['bool', Uint8Array],
};
const CODES = { float32: '<f4', int32: '<i4', bool: '|b1' };
const MAX_HEADER = 1 << 16;

/** An open .npy file of numbers. */
export class NpyReader {
  /** @param {string} file @param {string} name how the caller calls these data */
  constructor(file, name) {
    this.name = name;
    this.fd = fs.openSync(file, 'r');
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
    const bytes = fs.fstatSync(this.fd).size - this.start;
    if (bytes !== this.shape[0] * this.rowSize * this.type.BYTES_PER_ELEMENT) {
      throw new Fault('DataError', `input '${name}' is truncated or too long for shape ${this.shape}`);
    }
    this.whole = order === 'True' && this.shape.length > 1 ? this.rowMajor() : null;
  }

  /** @returns {string} the header's dictionary; sets where the numbers start */
  header() {
    const prefix = this.read(0, 12);
    if (prefix.length < 12 || prefix.toString('latin1', 0, 6) !== '\x93NUMPY') {
      throw new Fault('DataError', `input '${this.name}' is no .npy file`);
    }
    const wide = prefix[6] > 1;
    const length = wide ? prefix.readUInt32LE(8) : prefix.readUInt16LE(8);
    const begin = wide ? 12 : 10;
    if (length > MAX_HEADER) throw new Fault('DataError', `input '${this.name}' has a header of ${length} bytes`);
    this.start = begin + length;
    return this.read(begin, length).toString('latin1');
  }

  /** @param {number} position @param {number} length */
  read(position, length) {
    const buffer = Buffer.from(new ArrayBuffer(length));
    let done = 0;
    while (done < length) {
      const got = fs.readSync(this.fd, buffer, done, Math.min(length - done, 1 << 30), position + done);
      if (!got) break;
      done += got;
    }
    return buffer.subarray(0, done);
  }

  /** Column-major data in the order of rows: the file's axes are the array's, reversed. */
  rowMajor() {
    const count = this.shape[0] * this.rowSize;
    const given = new this.type(this.read(this.start, count * this.type.BYTES_PER_ELEMENT).buffer, 0, count);
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
    const buffer = this.read(this.start + from * rowBytes, (to - from) * rowBytes);
    return new this.type(buffer.buffer, 0, (to - from) * this.rowSize);
  }

  close() {
    fs.closeSync(this.fd);
  }
}

/** Writes a .npy file piece by piece. */
export class NpyWriter {
  /** @param {string} file @param {string} dtype float32, int32 or bool @param {number[]} shape of the whole array */
  constructor(file, dtype, shape) {
    this.file = file;
    this.fd = fs.openSync(file, 'w');
    const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
    const text = `{'descr': '${CODES[dtype]}', 'fortran_order': False, 'shape': (${dims}), }`;
    const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
    const length = Buffer.alloc(2);
    length.writeUInt16LE(padded.length);
    fs.writeSync(this.fd, Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(padded, 'latin1')]));
  }

  /** @param {ArrayBufferView} values */
  write(values) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length;) done += fs.writeSync(this.fd, bytes, done);
  }

  close() {
    fs.closeSync(this.fd);
  }
}

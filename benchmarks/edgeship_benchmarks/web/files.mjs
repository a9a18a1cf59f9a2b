/** .npy files on disk, for Node. */
import fs from 'node:fs';

import { bytesOf, npyHeader } from './npy.mjs';

/** @param {string} file @returns {import('./npy.mjs').Source} */
export function openFile(file) {
  const fd = fs.openSync(file, 'r');
  return { size: fs.fstatSync(fd).size, read: (position, length) => readAt(fd, position, length), close: () => fs.closeSync(fd) };
}

function readAt(fd, position, length) {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const got = fs.readSync(fd, bytes, done, Math.min(length - done, 1 << 30), position + done);
    if (!got) break;
    done += got;
  }
  return bytes.subarray(0, done);
}

/** Writes a .npy file piece by piece. */
export class NpyWriter {
  /** @param {string} file @param {string} dtype @param {number[]} shape of the whole array */
  constructor(file, dtype, shape) {
    this.file = file;
    this.fd = fs.openSync(file, 'w');
    this.write(npyHeader(dtype, shape));
  }

  /** @param {ArrayBufferView} values */
  write(values) {
    const bytes = bytesOf(values);
    for (let done = 0; done < bytes.length;) done += fs.writeSync(this.fd, bytes, done);
  }

  close() {
    fs.closeSync(this.fd);
  }
}

/** Arrays in files of NumPy's format (.npy, versions 1 to 3), as golden samples are stored. */
import type { Tensor, Values } from "../runtime/description.ts";

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Little-endian kinds by what they become here; 64 bits become what runtimes of browsers have. */
const KINDS: Readonly<Record<string, (view: DataView, count: number) => Values>> = {
  "<f4": (view, count) => Float32Array.from({ length: count }, (_, k) => view.getFloat32(4 * k, true)),
  "<f8": (view, count) => Float32Array.from({ length: count }, (_, k) => view.getFloat64(8 * k, true)),
  "<i4": (view, count) => Int32Array.from({ length: count }, (_, k) => view.getInt32(4 * k, true)),
  "<i8": (view, count) => Int32Array.from({ length: count }, (_, k) => Number(view.getBigInt64(8 * k, true))),
  "|u1": (view, count) => Uint8Array.from({ length: count }, (_, k) => view.getUint8(k)),
  "|b1": (view, count) => Uint8Array.from({ length: count }, (_, k) => view.getUint8(k)),
};

/** @throws RangeError for what is no such file, or of a kind that no model here takes */
export function readArray(file: Uint8Array): Tensor {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (MAGIC.some((byte, k) => file[k] !== byte)) throw new RangeError("it is no .npy file");
  const wide = (file[6] ?? 0) > 1;
  const start = (wide ? 12 : 10) + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(file.subarray(wide ? 12 : 10, start));
  const [, kind = ""] = /'descr': *'([^']+)'/.exec(header) ?? [];
  const [, sizes] = /'shape': *\(([\d, ]*)\)/.exec(header) ?? [];
  const read = KINDS[kind];
  if (read === undefined || sizes === undefined || !/'fortran_order': *False/.test(header)) {
    throw new RangeError(`its array is none that is known here: ${header.trim()}`);
  }
  const shape = sizes.split(",").filter((size) => size.trim() !== "").map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  if (file.length - start !== count * Number(kind.slice(2))) throw new RangeError(`it does not hold ${count} values`);
  return { values: read(new DataView(file.buffer, file.byteOffset + start), count), shape };
}

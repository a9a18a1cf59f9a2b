import { describe, expect, test } from "vitest";
import { readArray } from "../../src/package/npy.ts";

function file(header: string, content: Uint8Array, version = 1): Uint8Array {
  const text = new TextEncoder().encode(header);
  const size = version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.from([0x93, ...new TextEncoder().encode("NUMPY"), version, 0, ...size, ...text, ...content]);
}
const header = (descr: string, shape: string): string => `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }\n`;

describe("arrays of NumPy", () => {
  test.each([1, 2, 3])("version %i", (version) => {
    const content = new Uint8Array(Float32Array.of(1, -2.5, 3, 4, 5, 6).buffer);
    expect(readArray(file(header("<f4", "2, 3"), content, version))).toEqual({ values: Float32Array.of(1, -2.5, 3, 4, 5, 6), shape: [2, 3] });
  });

  test.each([
    ["<f8", new Uint8Array(Float64Array.of(0.5, -1).buffer), Float32Array.of(0.5, -1)],
    ["<i4", new Uint8Array(Int32Array.of(7, -1).buffer), Int32Array.of(7, -1)],
    ["<i8", new Uint8Array(BigInt64Array.of(7n, -1n).buffer), Int32Array.of(7, -1)],
    ["|u1", Uint8Array.of(7, 255), Uint8Array.of(7, 255)],
    ["|b1", Uint8Array.of(0, 1), Uint8Array.of(0, 1)],
  ])("of %s", (kind, content, values) => {
    expect(readArray(file(header(kind, "2,"), content))).toEqual({ values, shape: [2] });
  });

  test.each([
    ["no such file", new Uint8Array(20)],
    ["nothing", new Uint8Array(0)],
    ["cut off", file(header("<f4", "2,"), new Uint8Array(7))],
    ["longer", file(header("<f4", "2,"), new Uint8Array(9))],
    ["an unknown kind", file(header("<c8", "1,"), new Uint8Array(8))],
    ["objects", file(header("|O", "1,"), new Uint8Array(8))],
    ["another order", file("{'descr': '<f4', 'fortran_order': True, 'shape': (1,), }\n", new Uint8Array(4))],
    ["no shape", file("{'descr': '<f4', 'fortran_order': False}", new Uint8Array(4))],
  ])("%s is refused", (_, given) => {
    expect(() => readArray(given)).toThrow(RangeError);
  });
});

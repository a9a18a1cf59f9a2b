import { describe, expect, test } from "vitest";
import type { Description, ImagePreparation } from "../../src/runtime/description.ts";
import { take, type Input } from "../../src/package/inputs.ts";

const IMAGE: ImagePreparation = { height: 2, width: 2, channels: "grey", scale: 1, mean: [], std: [] };
function described(...inputs: Description["inputs"]): Description {
  return { name: "m", version: "1.0.0", created: "2026-11-20T21:04:05+00:00", inputs, outputs: [], labels: [], scoring: "values", runtimes: [] };
}
const ONE = described({ name: "x", shape: [null, 2, 2, 1], dtype: "float32", image: IMAGE });
const BYTES = described({ name: "x", shape: [null, 2], dtype: "uint8", image: null });
const TWO = described({ name: "a", shape: [1, 2], dtype: "float32", image: null }, { name: "b", shape: [1, null], dtype: "int32", image: null });

describe("arrays", () => {
  test("get their shape; lists become arrays", async () => {
    const { inputs } = await take([1, 2, 3, 4], ONE);
    expect(inputs).toEqual({ x: { tensor: { values: Float32Array.of(1, 2, 3, 4), shape: [1, 2, 2, 1] } } });
  });

  test("hold several samples where the batch is free", async () => {
    const { inputs } = await take(new Float32Array(12), ONE);
    expect(inputs.x).toMatchObject({ tensor: { shape: [3, 2, 2, 1] } });
  });

  test("by name; a free axis follows from the number of values", async () => {
    const { inputs } = await take({ a: new Float32Array(2), b: new Int32Array(7) }, TWO);
    expect(inputs.b).toMatchObject({ tensor: { shape: [1, 7] } });
  });

  test("lists keep their numbers, rounded to what a float32 holds", async () => {
    const { inputs } = await take([0.7, -1e-3, 300, Infinity], ONE);
    expect(inputs.x).toMatchObject({ tensor: { values: Float32Array.of(0.7, -1e-3, 300, Infinity) } });
    expect((await take([0, 255], BYTES)).inputs.x).toMatchObject({ tensor: { values: Uint8Array.of(0, 255) } });
  });

  test("a part of a buffer does not bring the rest of it", async () => {
    const all = new Float32Array(4000);
    const { x } = (await take(all.subarray(4, 8), ONE)).inputs;
    expect(x && "tensor" in x && x.tensor.values.buffer.byteLength).toBe(16);
    const { x: whole } = (await take(all, ONE)).inputs;
    expect(whole && "tensor" in whole && whole.tensor.values).toBe(all);
  });

  test("stay with the caller", async () => {
    const { transfer } = await take(new Float32Array(4), ONE);
    expect(transfer).toEqual([]);
  });
});

test("pixels are taken as they are", async () => {
  const pixels = { data: new Uint8ClampedArray(24), width: 3, height: 2 };
  expect((await take(pixels, ONE)).inputs).toEqual({ x: { pixels } });
});

test.each<[string, unknown, Description]>([
  ["too few values", new Float32Array(3), ONE],
  ["no values", new Float32Array(0), ONE],
  ["another dtype", new Int32Array(4), ONE],
  ["64 bits", new Float64Array(4), ONE],
  ["no object", 3, ONE],
  ["nothing", undefined, ONE],
  ["null", null, ONE],
  ["null by name", { x: null }, ONE],
  ["a number by name", { x: 3 }, ONE],
  ["pixels in another type", { data: new Float32Array(16), width: 2, height: 2 }, ONE],
  ["pixels that are a list", { data: Array(16).fill(0), width: 2, height: 2 }, ONE],
  ["pixels that are missing", { data: undefined, width: 2, height: 2 }, ONE],
  ["a list with no number", [1, 2, 3, NaN], ONE],
  ["a list of lists", [[1, 2], [3, 4], [1, 2], [3, 4]], ONE],
  ["a list beyond a byte", [0, 300], BYTES],
  ["a list of fractions for bytes", [0, 0.7], BYTES],
  ["a list below 0 for bytes", [0, -1], BYTES],
  ["pixels that are too few", { data: new Uint8Array(3), width: 1, height: 1 }, ONE],
  ["an unknown name", { y: new Float32Array(4) }, ONE],
  ["a name of all objects", { constructor: new Float32Array(4) }, ONE],
  ["one of two", new Float32Array(2), TWO],
  ["a missing one", { a: new Float32Array(2) }, TWO],
  ["pixels for numbers", { a: { data: new Uint8Array(4), width: 1, height: 1 }, b: [1] }, TWO],
])("%s: an error that says what is allowed", async (_what, given, description) => {
  await expect(take(given as Input, description)).rejects.toMatchObject({ name: "ModelError", code: "input" });
  await expect(take(given as Input, description)).rejects.toSatisfy((error) => (error as { remedy: string }).remedy !== "");
});

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ImagePreparation } from "../../src/runtime/description.ts";
import { prepare, resized } from "../../src/runtime/prepare.ts";

interface Case {
  readonly data: number[];
  readonly width: number;
  readonly height: number;
  readonly image: ImagePreparation;
  readonly expected: number[];
}
/** Random images, the last ones transparent in parts, as Pillow 13 puts them on white, converts and resizes them. */
const CASES = JSON.parse(readFileSync(new URL("pillow.json", import.meta.url), "utf8")) as Case[];

describe("resizing", () => {
  test.each(CASES)("is Pillow's, $width x $height to $image.width x $image.height $image.channels", (given) => {
    const pixels = { data: Uint8Array.from(given.data), width: given.width, height: given.height };
    expect([...resized(pixels, given.image)]).toEqual(given.expected);
  });
});

describe("scaling", () => {
  const pixels = { data: Uint8Array.of(10, 20, 30, 255, 200, 100, 0, 255), width: 2, height: 1 };
  const image: ImagePreparation = { height: 1, width: 2, channels: "RGB", scale: 1 / 127.5, mean: [1], std: [] };

  test("is float32 in each step", () => {
    const expected = [10, 20, 30, 200, 100, 0].map((byte) => Math.fround(Math.fround(byte * Math.fround(1 / 127.5)) - 1));
    expect([...prepare(pixels, image, "float32")]).toEqual(expected);
  });

  test("takes numbers for each channel, and turns the channels first", () => {
    const bgr: ImagePreparation = { ...image, channels: "BGR", scale: 1, mean: [1, 2, 3], std: [1, 2, 4] };
    expect([...prepare(pixels, bgr, "float32")]).toEqual([29, 9, 1.75, -1, 49, 49.25]);
  });

  test("leaves bytes to models that take bytes", () => {
    expect([...prepare(pixels, image, "uint8")]).toEqual([10, 20, 30, 200, 100, 0]);
    expect([...prepare(pixels, { ...image, channels: "BGR" }, "int32")]).toEqual([30, 20, 10, 0, 100, 200]);
  });
});

import { expect, test } from "vitest";
import { found, grey, threshold, type Pixels } from "../src/picture.ts";

/** A sheet with a bar of ink, 40 x 40. */
function sheet(paper: number, ink: number, spots: readonly (readonly [number, number])[] = []): Pixels {
  const size = 40;
  const data = new Uint8ClampedArray(size * size * 4).fill(255);
  const put = (x: number, y: number, level: number): void => data.set([level, level, level], 4 * (y * size + x));
  for (let y = 0; y < size; y++) for (let x = 0; x < size; x++) put(x, y, x >= 18 && x < 22 && y >= 5 && y < 35 ? ink : paper);
  for (const [x, y] of spots) put(x, y, ink);
  return { data, width: size, height: size };
}

test("grey levels are those of Pillow", () => {
  expect([...grey({ data: new Uint8ClampedArray([255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255]), width: 3, height: 1 })]).toEqual([76, 150, 29]);
});

test("the threshold lies between two kinds of levels", () => {
  const { level, dark, light } = threshold(Uint8Array.from([20, 22, 24, 200, 210]));
  expect(level).toBe(24);
  expect([dark, light]).toEqual([22, 205]);
});

test.each([["dark on light", 230, 30], ["light on dark", 10, 240], ["pale", 150, 110]])("ink is found: %s", (_, paper, ink) => {
  const counts = found(sheet(paper, ink));
  // 30 rows fill 8, so 4 columns become 1.07, half of them left of the middle
  expect([...(counts ?? [])]).toEqual(Array.from({ length: 8 }, () => [0, 0, 0, 8, 8, 0, 0, 0]).flat());
});

test("dirt is left out, and a part of the digit is not", () => {
  const clean = found(sheet(230, 30));
  expect(found(sheet(230, 30, [[2, 2], [36, 38]]))).toEqual(clean);
  const part = Array.from({ length: 30 }, (_, k) => [30 + (k % 2), 10 + Math.floor(k / 2)] as const);
  expect(found(sheet(230, 30, part))).not.toEqual(clean);
});

test("half of the way from paper to ink is half a count", () => {
  const { data, width, height } = sheet(200, 0);
  for (let k = 0; k < width * height; k++) if (k % width === 22 && k >= 5 * width && k < 35 * width) data.set([100, 100, 100], 4 * k);
  const row = [...(found({ data, width, height })?.slice(32, 40) ?? [])];
  expect(row.reduce((sum, count) => sum + count, 0)).toBeCloseTo((4.5 / 30) * 8 * 16, -1);
});

test("a blank sheet has no digit", () => {
  expect(found(sheet(200, 200))).toBeNull();
  expect(found(sheet(200, 190))).toBeNull();
});

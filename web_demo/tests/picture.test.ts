import { expect, test } from "vitest";
import { found, grey, threshold, type Pixels } from "../src/picture.ts";
import { DOTS } from "../src/raster.ts";

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
  const dots = found(sheet(paper, ink));
  expect(dots).not.toBeNull();
  const rows = Array.from({ length: DOTS }, (_, k) => dots?.slice(k * DOTS, (k + 1) * DOTS).reduce((sum, dot) => sum + dot, 0));
  expect(rows.every((width) => width === 4)).toBe(true); // 30 rows fill 32 dots, the bar keeps its shape
});

test("dirt is left out, and a part of the digit is not", () => {
  const clean = found(sheet(230, 30));
  expect(found(sheet(230, 30, [[2, 2], [36, 38]]))).toEqual(clean);
  const part = Array.from({ length: 30 }, (_, k) => [30 + (k % 2), 10 + Math.floor(k / 2)] as const);
  expect(found(sheet(230, 30, part))).not.toEqual(clean);
});

test("a blank sheet has no digit", () => {
  expect(found(sheet(200, 200))).toBeNull();
  expect(found(sheet(200, 190))).toBeNull();
});

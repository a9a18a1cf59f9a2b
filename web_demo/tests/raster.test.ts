import { expect, test } from "vitest";
import { bounds, counted, DOTS, drawn, fitting, pixels, type Stroke } from "../src/raster.ts";

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);
const rows = (counts: Uint8Array): number[][] => Array.from({ length: 8 }, (_, k) => [...counts.slice(8 * k, 8 * k + 8)]);

test("a box holds all points, and there is none without points", () => {
  expect(bounds([])).toBeNull();
  expect(bounds([{ x: 0.2, y: 0.9 }, { x: 0.5, y: 0.1 }])).toEqual({ left: 0.2, top: 0.1, right: 0.5, bottom: 0.9 });
});

test("a box is enlarged to the dots, centred, as wide as it was high before", () => {
  const place = fitting({ left: 0.4, top: 0.2, right: 0.6, bottom: 0.6 }, 2);
  expect(place({ x: 0.5, y: 0.2 })).toEqual({ x: 16, y: 2 });
  expect(place({ x: 0.5, y: 0.6 }).y).toBeCloseTo(30);
  expect(place({ x: 0.4, y: 0.4 }).x).toBeCloseTo(9);
});

test("nothing drawn is nothing seen", () => {
  expect(sum(drawn([]))).toBe(0);
  expect(sum(counted(new Uint8Array(DOTS * DOTS)))).toBe(0);
});

test("a line is a column of full cells, wherever and however small it was drawn", () => {
  const at = (x: number, from: number, to: number): Stroke[] => [[{ x, y: from }, { x, y: to }]];
  const large = counted(drawn(at(0.5, 0.1, 0.9)));
  for (const row of rows(large)) {
    expect(row.slice(0, 3)).toEqual([0, 0, 0]);
    expect((row[3] ?? 0) + (row[4] ?? 0)).toBeGreaterThanOrEqual(8);
    expect(row.slice(5)).toEqual([0, 0, 0]);
  }
  expect(counted(drawn(at(0.2, 0.1, 0.4)))).toEqual(large);
});

test("a dot does not become a blot", () => {
  expect(sum(drawn([[{ x: 0.3, y: 0.3 }]]))).toBeLessThan(30);
});

test("blocks of 4 x 4 are counted", () => {
  const dots = new Uint8Array(DOTS * DOTS);
  for (const [row, column] of [[0, 0], [3, 3], [3, 4], [31, 31]] as const) dots[row * DOTS + column] = 1;
  const counts = counted(dots);
  expect([counts[0], counts[1], counts[63], sum(counts)]).toEqual([2, 1, 1, 4]);
});

test("counts are grey levels, ink white", () => {
  const { data, width, height } = pixels(Uint8Array.from({ length: 64 }, (_, k) => (k === 1 ? 16 : k === 2 ? 8 : 0)));
  expect([width, height]).toEqual([8, 8]);
  expect([...data.slice(0, 12)]).toEqual([0, 0, 0, 255, 255, 255, 255, 255, 128, 128, 128, 255]);
});

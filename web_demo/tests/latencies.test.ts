import { expect, test } from "vitest";
import { bin, BINS, duration, Latencies, position } from "../src/latencies.ts";

test("an axis from 0.1 ms to 1 s in equal ratios", () => {
  expect([0.1, 1, 10, 100, 1000].map((value) => position(value))).toEqual([0, 0.25, 0.5, 0.75, 1]);
  expect([0, 0.05, 5000].map((value) => bin(value))).toEqual([0, 0, BINS - 1]);
});

test("quantiles are latencies that occurred", () => {
  const latencies = new Latencies();
  expect(latencies.summary()).toBeNull();
  for (let k = 100; k > 0; k--) latencies.add(k);
  expect(latencies.summary()).toEqual({ count: 100, median: 50, p95: 95 });
  expect(latencies.histogram().reduce((sum, count) => sum + count)).toBe(100);
});

test("three digits and a unit", () => {
  expect([0.434, 12.62, 140.4, 1250].map(duration)).toEqual(["0.43 ms", "12.6 ms", "140 ms", "1.25 s"]);
});

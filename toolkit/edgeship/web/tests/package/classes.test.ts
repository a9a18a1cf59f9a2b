import { expect, test } from "vitest";
import type { Description } from "../../src/runtime/description.ts";
import { classes } from "../../src/package/classes.ts";

function described(labels: string[], scoring: Description["scoring"]): Description {
  const outputs = [{ name: "scores", shape: [null, labels.length], dtype: "float32" as const }];
  return { name: "m", version: "1.0.0", created: "2026-11-20T21:04:05+00:00", inputs: [], outputs, labels, scoring, runtimes: [] };
}
const scores = (...values: number[]) => ({ scores: { values: Float32Array.from(values), shape: [1, values.length] } });

test("probabilities stay as they are, the surest first; equal ones by index", () => {
  const found = classes(scores(0.25, 0.5, 0.25), described(["a", "b", "c"], "values"));
  expect(found.map((one) => [one.label, one.index, one.confidence])).toEqual([["b", 1, 0.5], ["a", 0, 0.25], ["c", 2, 0.25]]);
});

test("scores without bounds become their softmax, however large", () => {
  const found = classes(scores(1000, 1000 + Math.log(3)), described(["a", "b"], "softmax"));
  expect(found[0]?.label).toBe("b");
  expect(found[0]?.confidence).toBeCloseTo(0.75, 3);
});

test("one value of two labels is that of the second", () => {
  const found = classes(scores(0.75), described(["no", "yes"], "value"));
  expect(found).toEqual([{ label: "yes", index: 1, confidence: 0.75 }, { label: "no", index: 0, confidence: 0.25 }]);
});

test("of a batch the first sample; nothing without labels", () => {
  expect(classes(scores(0, 1, 1, 0), described(["a", "b"], "values"))[0]?.label).toBe("b");
  expect(classes(scores(0, 1), described([], "values"))).toEqual([]);
});

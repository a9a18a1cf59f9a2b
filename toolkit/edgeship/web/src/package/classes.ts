/** Outputs as classes. */
import type { Description, Tensor } from "../runtime/description.ts";

export interface Classification {
  readonly label: string;
  /** Of the label. */
  readonly index: number;
  /** 0 to 1, as the model gives it; of a model that gives scores without bounds, their softmax. */
  readonly confidence: number;
}

/** Classes of the first sample, the surest first; none where the model has no labels. */
export function classes(outputs: Readonly<Record<string, Tensor>>, { labels, outputs: specs, scoring }: Description): Classification[] {
  const found = outputs[specs[0]?.name ?? ""];
  if (found === undefined || labels.length === 0) return [];
  const count = scoring === "value" ? 1 : labels.length;
  const row = Array.from(found.values.subarray(0, count));
  const confidences = scoring === "softmax" ? softmax(row) : scoring === "value" ? [1 - (row[0] ?? 0), row[0] ?? 0] : row;
  const all = labels.map((label, index) => ({ label, index, confidence: confidences[index] ?? 0 }));
  return all.sort((a, b) => b.confidence - a.confidence || a.index - b.index);
}

function softmax(row: readonly number[]): number[] {
  const most = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

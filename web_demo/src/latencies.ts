/** Latencies of predictions: a histogram whose axis stays, so that runtimes can be compared by eye. */

/** From 0.1 to 1000 ms in steps of equal ratio; what lies outside is in the first or the last bin. */
export const LOWEST_MS = 0.1;
export const DECADES = 4;
export const BINS_PER_DECADE = 10;
export const BINS = DECADES * BINS_PER_DECADE;
/** The oldest of more latencies than this are forgotten. */
const MOST = 5000;

export interface Summary {
  readonly count: number;
  readonly median: number;
  readonly p95: number;
}

/** Where a latency lies on the axis, 0 to 1. */
export function position(milliseconds: number): number {
  const place = Math.log10(milliseconds / LOWEST_MS) / DECADES;
  return Math.min(1, Math.max(0, place));
}

export function bin(milliseconds: number): number {
  return Math.min(BINS - 1, Math.floor(position(milliseconds) * BINS));
}

/** Latencies of one runtime. */
export class Latencies {
  #values: number[] = [];

  add(milliseconds: number): void {
    this.#values.push(milliseconds);
    if (this.#values.length > MOST) this.#values.shift();
  }

  histogram(): number[] {
    const counts = new Array<number>(BINS).fill(0);
    for (const value of this.#values) counts[bin(value)] = (counts[bin(value)] ?? 0) + 1;
    return counts;
  }

  /** Null: there are none. Quantiles are values that occurred (the nearest rank). */
  summary(): Summary | null {
    const sorted = [...this.#values].sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
    return sorted.length === 0 ? null : { count: sorted.length, median: at(0.5), p95: at(0.95) };
  }
}

/** Three digits: `0.43 ms`, `12.6 ms`, `140 ms`, `1.25 s`. */
export function duration(milliseconds: number): string {
  const [value, unit] = milliseconds < 1000 ? [milliseconds, "ms"] : [milliseconds / 1000, "s"];
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${unit}`;
}

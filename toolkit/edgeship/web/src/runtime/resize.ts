/**
 * Resizing bit by bit as Pillow's `Image.resize(size, BILINEAR)`, which training data went through.
 *
 * A triangle filter, widened by the factor when shrinking, along rows and along columns, each rounded to bytes. Weights
 * are fixed-point numbers of 22 bits. Canvases of browsers give other pixels when they shrink.
 */

/** Bits of a weight behind the point: 32, less 8 for the byte and 2 against overflow. */
const BITS = 22;

interface Weights {
  /** First source index of each target index, and how many weights it has. */
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `most` weights for each target index. */
  readonly values: Int32Array;
  readonly most: number;
}

/** Weights that bring `from` values to `to`. */
function weights(from: number, to: number): Weights {
  const scale = from / to;
  const support = Math.max(scale, 1);
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(to);
  const count = new Int32Array(to);
  const values = new Int32Array(to * most);
  for (let target = 0; target < to; target++) {
    const center = (target + 0.5) * scale;
    const low = Math.max(Math.trunc(center - support + 0.5), 0);
    const high = Math.min(Math.trunc(center + support + 0.5), from);
    const row = Array.from({ length: high - low }, (_, k) => Math.max(1 - Math.abs((k + low - center + 0.5) * (1 / support)), 0));
    const sum = row.reduce((a, b) => a + b, 0);
    row.forEach((weight, k) => {
      values[target * most + k] = Math.trunc(0.5 + (weight / sum) * (1 << BITS));
    });
    first[target] = low;
    count[target] = high - low;
  }
  return { first, count, values, most };
}

function clamp(value: number): number {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

/** Along the middle axis of (outer, from, inner). */
function along(data: Uint8Array, outer: number, from: number, to: number, inner: number): Uint8Array {
  const { first, count, values, most } = weights(from, to);
  const found = new Uint8Array(outer * to * inner);
  for (let o = 0; o < outer; o++) {
    for (let t = 0; t < to; t++) {
      const start = (o * from + (first[t] ?? 0)) * inner;
      const taps = count[t] ?? 0;
      for (let i = 0; i < inner; i++) {
        let sum = 1 << (BITS - 1);
        for (let k = 0; k < taps; k++) sum += (data[start + k * inner + i] ?? 0) * (values[t * most + k] ?? 0);
        found[(o * to + t) * inner + i] = clamp(sum >> BITS);
      }
    }
  }
  return found;
}

/**
 * @param data (height, width, channels) bytes
 * @returns (toHeight, toWidth, channels) bytes
 */
export function resize(
  data: Uint8Array,
  [height, width, channels]: readonly [number, number, number],
  [toHeight, toWidth]: readonly [number, number],
): Uint8Array {
  const rows = (given: Uint8Array, count: number): Uint8Array => (width === toWidth ? given : along(given, count, width, toWidth, channels));
  const columns = (given: Uint8Array, inner: number): Uint8Array => (height === toHeight ? given : along(given, 1, height, toHeight, inner * channels));
  // Columns first where their height shrinks by far the most, as Pillow 13 does it; it decides where bytes are rounded.
  if (height > toHeight && height - toHeight > 2 * (width - toWidth)) return rows(columns(data, width), toHeight);
  return columns(rows(data, height), toWidth);
}

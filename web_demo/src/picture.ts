/** A digit in a photograph or a picture file: found, and brought to counts as a drawn one is. */
import { bounds, CELLS, DOTS, fitting, MOST, type Point } from "./raster.ts";

/** Pixels as a canvas gives them. */
export interface Pixels {
  readonly data: Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Parts smaller than this share of the largest one are dirt. */
const DIRT = 0.15;
/** Ink and paper that differ by fewer grey levels than this are one blank sheet. */
const CONTRAST = 24;
/** Ink that covers more of a picture than this is no digit on a sheet. */
const MOST_INK = 0.6;
/** Part of the way from paper to ink that is noise. */
const UNEVEN = 0.12;
/** Places of a cell that are looked at, in each direction. */
const LOOKS = 8;

/** Grey levels 0 to 255 by the formula of Pillow, ITU-R 601-2. */
export function grey({ data, width, height }: Pixels): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, k) => {
    const [r, g, b] = [data[4 * k] ?? 0, data[4 * k + 1] ?? 0, data[4 * k + 2] ?? 0];
    return Math.round(0.299 * r + 0.587 * g + 0.114 * b);
  });
}

/**
 * The level that separates dark from light best, and the means of both (N. Otsu: A Threshold Selection Method from
 * Gray-Level Histograms, IEEE SMC 9(1), 1979).
 */
export function threshold(levels: Uint8Array): { level: number; dark: number; light: number } {
  const histogram = new Float64Array(256);
  for (const level of levels) histogram[level] = (histogram[level] ?? 0) + 1;
  const total = histogram.reduce((sum, count, level) => sum + count * level, 0);
  let best = { level: 0, dark: 0, light: 0, between: -1 };
  let [count, sum] = [0, 0];
  histogram.forEach((here, level) => {
    count += here;
    sum += here * level;
    const rest = levels.length - count;
    if (here === 0 || rest === 0) return;
    const [dark, light] = [sum / count, (total - sum) / rest];
    const between = count * rest * (light - dark) ** 2;
    if (between > best.between) best = { level, dark, light, between };
  });
  return best;
}

/** The digit of a picture as 8 x 8 counts; null: none is there to be seen. Paper is what the picture's edge shows most. */
export function found(picture: Pixels): Uint8Array | null {
  const { width, height } = picture;
  const levels = grey(picture);
  const { level, dark, light } = threshold(levels);
  if (light - dark < CONTRAST) return null;
  const edge = [...levels.keys()].filter((k) => k < width || k >= width * (height - 1) || k % width === 0 || k % width === width - 1);
  const paperIsLight = edge.filter((k) => (levels[k] ?? 0) > level).length * 2 > edge.length;
  const ink = levels.map((grey) => Number(grey > level !== paperIsLight));
  const kept = clean(ink, width);
  const covered = kept.reduce((sum, dot) => sum + dot, 0);
  if (covered === 0 || covered > MOST_INK * kept.length) return null;
  const paper = paperIsLight ? light : dark;
  const full = inmost(levels.filter((_, k) => kept[k]), paperIsLight);
  // Edges of ink are grey, in the training data too; paper is never quite even.
  const share = (k: number): number => (((levels[k] ?? 0) - paper) / (full - paper) - UNEVEN) / (1 - UNEVEN);
  const shares = Float32Array.from(kept, (dot, k) => (ink[k] === dot ? Math.min(1, Math.max(0, share(k))) : 0));
  return sampled(shares, kept, width);
}

/** The level of ink where it is whole: nine tenths of it are nearer to the paper. */
function inmost(levels: Uint8Array, paperIsLight: boolean): number {
  const sorted = levels.slice().sort();
  return sorted[Math.floor(sorted.length * (paperIsLight ? 0.1 : 0.9))] ?? 0;
}

/** Ink without small parts; parts hang together by sides and corners. */
function clean(ink: Uint8Array, width: number): Uint8Array {
  const parts: number[][] = [];
  const seen = new Uint8Array(ink.length);
  ink.forEach((dot, start) => {
    if (!dot || seen[start]) return;
    const part = [start];
    seen[start] = 1;
    for (let at = part[0], k = 0; at !== undefined; at = part[++k]) {
      for (const next of around(at, width, ink.length)) {
        if (ink[next] && !seen[next]) {
          seen[next] = 1;
          part.push(next);
        }
      }
    }
    parts.push(part);
  });
  const largest = parts.reduce((most, part) => Math.max(most, part.length), 0);
  const kept = new Uint8Array(ink.length);
  for (const part of parts) if (part.length >= DIRT * largest) for (const k of part) kept[k] = 1;
  return kept;
}

function around(at: number, width: number, length: number): number[] {
  const column = at % width;
  const columns = [column > 0 ? [-1] : [], [0], column < width - 1 ? [1] : []].flat();
  return columns.flatMap((dx) => [at - width + dx, at + dx, at + width + dx]).filter((k) => k >= 0 && k < length && k !== at);
}

/** Counts of a digit that is enlarged to fill all cells, as wide as it was high before: 16 times the share of ink in each. */
function sampled(shares: Float32Array, kept: Uint8Array, width: number): Uint8Array {
  const inked: Point[] = [];
  kept.forEach((dot, k) => {
    if (dot) inked.push({ x: k % width, y: Math.floor(k / width) }, { x: (k % width) + 1, y: Math.floor(k / width) + 1 });
  });
  const sums = new Float32Array(CELLS * CELLS);
  const box = bounds(inked);
  if (box === null) return new Uint8Array(sums);
  const place = fitting(box, 0);
  const origin = place({ x: 0, y: 0 });
  const scale = place({ x: 1, y: 0 }).x - origin.x;
  const side = CELLS * LOOKS;
  for (let look = 0; look < side * side; look++) {
    const [x, y] = [look % side, Math.floor(look / side)];
    const at = (dots: number, from: number): number => Math.floor((((dots + 0.5) * DOTS) / side - from) / scale);
    const [column, row] = [at(x, origin.x), at(y, origin.y)];
    const cell = Math.floor(y / LOOKS) * CELLS + Math.floor(x / LOOKS);
    if (column >= 0 && column < width) sums[cell] = (sums[cell] ?? 0) + (shares[row * width + column] ?? 0);
  }
  return Uint8Array.from(sums, (sum) => Math.round((sum / (LOOKS * LOOKS)) * MOST));
}

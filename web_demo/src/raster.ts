/**
 * From ink to what the network was trained on: 32 x 32 dots, counted in blocks of 4 x 4, which gives 8 x 8 numbers from
 * 0 to 16 (E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998).
 */
export const DOTS = 32;
export const CELLS = 8;
const BLOCK = DOTS / CELLS;
/** Of a cell whose dots are all ink. */
export const MOST = BLOCK * BLOCK;

/** A place on the pad, 0 to 1 from its left and its top. */
export interface Point {
  readonly x: number;
  readonly y: number;
}
export type Stroke = readonly Point[];
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Half the pen's width in dots: digits in the training data are about six dots thick. */
const PEN = 2.9;
/** A shape smaller than this part of the pad is not made larger than a shape of this size would be. */
const LEAST = 0.2;

/** The smallest box around all points; null: there are none. */
export function bounds(points: Iterable<Point>): Box | null {
  let box: Box | null = null;
  for (const { x, y } of points) {
    box = box === null ? { left: x, top: y, right: x, bottom: y } : { left: Math.min(box.left, x), top: Math.min(box.top, y), right: Math.max(box.right, x), bottom: Math.max(box.bottom, y) };
  }
  return box;
}

/** Where a place in a box lies in dots, when the box is enlarged to fill them, as wide as it was high before. */
export function fitting(box: Box, margin: number, least = 0): (point: Point) => Point {
  const size = Math.max(box.right - box.left, box.bottom - box.top, least);
  const scale = (DOTS - 2 * margin) / size;
  const [x, y] = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  return (point) => ({ x: DOTS / 2 + (point.x - x) * scale, y: DOTS / 2 + (point.y - y) * scale });
}

/** The dots that strokes cover, row by row, each 0 or 1, once they are as large as the training data's. */
export function drawn(strokes: readonly Stroke[]): Uint8Array {
  const dots = new Uint8Array(DOTS * DOTS);
  const box = bounds(strokes.flat());
  if (box === null) return dots;
  const place = fitting(box, PEN, LEAST);
  for (const stroke of strokes) {
    const points = stroke.map(place);
    points.forEach((point, k) => cover(dots, points[k - 1] ?? point, point));
  }
  return dots;
}

/** Cover the dots whose middle lies within the pen's reach of a line. */
function cover(dots: Uint8Array, from: Point, to: Point): void {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = dx * dx + dy * dy;
  const first = (low: number): number => Math.max(0, Math.floor(low - PEN));
  const last = (high: number): number => Math.min(DOTS - 1, Math.ceil(high + PEN));
  for (let row = first(Math.min(from.y, to.y)); row <= last(Math.max(from.y, to.y)); row++) {
    for (let column = first(Math.min(from.x, to.x)); column <= last(Math.max(from.x, to.x)); column++) {
      const [x, y] = [column + 0.5 - from.x, row + 0.5 - from.y];
      const along = length === 0 ? 0 : Math.min(1, Math.max(0, (x * dx + y * dy) / length));
      if (Math.hypot(x - along * dx, y - along * dy) <= PEN) dots[row * DOTS + column] = 1;
    }
  }
}

/** Dots counted in blocks: 8 x 8 numbers from 0 to 16. */
export function counted(dots: Uint8Array): Uint8Array {
  const counts = new Uint8Array(CELLS * CELLS);
  dots.forEach((dot, k) => {
    const cell = Math.floor(k / DOTS / BLOCK) * CELLS + Math.floor((k % DOTS) / BLOCK);
    counts[cell] = (counts[cell] ?? 0) + dot;
  });
  return counts;
}

/** Counts as a grey picture of 8 x 8, ink white: the package enlarges it as Python enlarged the training data. */
export function pixels(counts: Uint8Array): { data: Uint8ClampedArray; width: number; height: number } {
  const data = new Uint8ClampedArray(counts.length * 4);
  counts.forEach((count, k) => {
    const grey = (count / MOST) * 255;
    data.set([grey, grey, grey, 255], k * 4);
  });
  return { data, width: CELLS, height: CELLS };
}

/** Drawing, by pointer and by keyboard, as a state that changes: no page is needed. */
import type { Point, Stroke } from "./raster.ts";

/** Steps of the keyboard's pen across the pad. */
export const STEPS = 16;

export interface Drawing {
  readonly strokes: readonly Stroke[];
  /** Where the keyboard's pen is. */
  readonly cursor: Point;
  /** Whether it draws when it moves. */
  readonly down: boolean;
}

export const BLANK: Drawing = { strokes: [], cursor: { x: 0.5, y: 0.25 }, down: false };

const MOVES: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
  Home: [-1, -1],
  PageUp: [1, -1],
  End: [-1, 1],
  PageDown: [1, 1],
};

/** The drawing after a key; null: the key means nothing here. */
export function key(drawing: Drawing, name: string): Drawing | null {
  const move = MOVES[name];
  if (move) return moved(drawing, move);
  if (name === " " || name === "Enter") {
    const down = !drawing.down;
    return { ...drawing, down, strokes: down ? [...drawing.strokes, [drawing.cursor]] : drawing.strokes };
  }
  if (name === "Backspace") return undone(drawing);
  if (name === "Delete" || name === "Escape") return drawing.strokes.length || drawing.down ? cleared(drawing) : null;
  return null;
}

function moved(drawing: Drawing, [dx, dy]: readonly [number, number]): Drawing {
  const within = (value: number): number => Math.min(1 - 1 / STEPS, Math.max(1 / STEPS, value));
  const cursor = { x: within(drawing.cursor.x + dx / STEPS), y: within(drawing.cursor.y + dy / STEPS) };
  return { ...drawing, cursor, strokes: drawing.down ? continued(drawing.strokes, cursor) : drawing.strokes };
}

/** A pointer went down: a new stroke. */
export function begun(drawing: Drawing, point: Point): Drawing {
  return { ...drawing, down: false, strokes: [...drawing.strokes, [point]] };
}

/** The pointer moved: the last stroke goes on. */
export function drawnTo(drawing: Drawing, point: Point): Drawing {
  return { ...drawing, strokes: continued(drawing.strokes, point) };
}

function continued(strokes: readonly Stroke[], point: Point): readonly Stroke[] {
  const last = strokes.at(-1);
  if (last === undefined) return [[point]];
  const end = last.at(-1);
  return end?.x === point.x && end.y === point.y ? strokes : [...strokes.slice(0, -1), [...last, point]];
}

export function undone(drawing: Drawing): Drawing {
  return { ...drawing, down: false, strokes: drawing.strokes.slice(0, -1) };
}

/** All ink goes; the cursor stays. */
export function cleared(drawing: Drawing): Drawing {
  return { ...BLANK, cursor: drawing.cursor };
}

/** Where the keyboard's pen is and what it does, for who does not see it. */
export function spoken({ cursor, down }: Drawing): string {
  return `${down ? "Pen down" : "Pen up"}, column ${Math.round(cursor.x * STEPS)}, row ${Math.round(cursor.y * STEPS)}`;
}

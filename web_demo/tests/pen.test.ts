import { expect, test } from "vitest";
import { begun, BLANK, drawnTo, key, spoken, STEPS, undone, type Drawing } from "../src/pen.ts";

const typed = (...names: string[]): Drawing => names.reduce((drawing, name) => key(drawing, name) ?? drawing, BLANK);

test("arrows move a pen that is up, and draw with one that is down", () => {
  expect(typed("ArrowDown", "ArrowRight")).toEqual({ ...BLANK, cursor: { x: 9 / STEPS, y: 5 / STEPS } });
  const line = typed(" ", "ArrowDown", "ArrowDown", " ", "ArrowRight");
  expect(line.strokes).toEqual([[4, 5, 6].map((y) => ({ x: 0.5, y: y / STEPS }))]);
  expect(line.down).toBe(false);
});

test("the pen stays on the pad, and what does not move draws nothing", () => {
  const far = typed(" ", ...Array.from({ length: 40 }, () => "ArrowUp"));
  expect(far.cursor.y).toBe(1 / STEPS);
  expect(far.strokes[0]?.length).toBe(4);
});

test("corners are one key", () => {
  expect(typed("End").cursor).toEqual({ x: 7 / STEPS, y: 5 / STEPS });
});

test("undo takes a stroke, clear takes all, other keys mean nothing", () => {
  const two = typed(" ", "ArrowDown", " ", "ArrowRight", " ", "ArrowUp");
  expect(two.strokes.length).toBe(2);
  expect(undone(two).strokes.length).toBe(1);
  expect(key(two, "Delete")?.strokes).toEqual([]);
  expect(key(two, "Delete")?.cursor).toEqual(two.cursor);
  expect(key(BLANK, "Escape")).toBeNull();
  expect(key(BLANK, "Tab")).toBeNull();
});

test("a pointer draws strokes of its own", () => {
  const drawing = drawnTo(begun(begun(BLANK, { x: 0, y: 0 }), { x: 0.1, y: 0.1 }), { x: 0.2, y: 0.3 });
  expect(drawing.strokes).toEqual([[{ x: 0, y: 0 }], [{ x: 0.1, y: 0.1 }, { x: 0.2, y: 0.3 }]]);
});

test("where the pen is is said", () => {
  expect(spoken(typed(" "))).toBe("Pen down, column 8, row 4");
});

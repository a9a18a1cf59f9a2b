/** The pad: ink by pointer and by keyboard, on the drawing that pen.ts knows. */
import { acts, element, enable, say, shape } from "./page.ts";
import { BLANK, begun, cleared, drawnTo, key, spoken, undone, type Drawing } from "./pen.ts";
import type { Point, Stroke } from "./raster.ts";

export class Pad {
  readonly #pad = element("pad", HTMLElement);
  readonly #ink = element("ink", SVGGElement);
  readonly #cursor = element("cursor", SVGCircleElement);
  readonly #says = element("pad-says", HTMLElement);
  readonly #tools = { undo: element("undo", HTMLButtonElement), clear: element("clear", HTMLButtonElement) };
  readonly #changed: (strokes: readonly Stroke[]) => void;
  #drawing: Drawing = BLANK;
  #pointer: number | null = null;

  /** @param changed told the ink whenever it is another one */
  constructor(changed: (strokes: readonly Stroke[]) => void) {
    this.#changed = changed;
    this.#pad.addEventListener("keydown", (event) => this.#key(event));
    this.#pad.addEventListener("pointerdown", (event) => this.#begin(event));
    this.#pad.addEventListener("pointermove", (event) => this.#draw(event));
    for (const end of ["pointerup", "pointercancel"]) this.#pad.addEventListener(end, () => (this.#pointer = null));
    acts(this.#tools.undo, () => this.#show(undone(this.#drawing)));
    acts(this.#tools.clear, () => this.#show(cleared(this.#drawing)));
    this.#show(BLANK);
  }

  get strokes(): readonly Stroke[] {
    return this.#drawing.strokes;
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = key(this.#drawing, event.key);
    if (next === null) return;
    event.preventDefault();
    this.#show(next);
    say(this.#says, next.strokes.length || !this.#drawing.strokes.length ? spoken(next) : "The pad is empty.");
  }

  #begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    this.#pointer = event.pointerId;
    this.#pad.setPointerCapture(event.pointerId);
    this.#show(begun(this.#drawing, this.#place(event)));
  }

  #draw(event: PointerEvent): void {
    if (event.pointerId !== this.#pointer) return;
    // A browser hands over several places at once where a pen is faster than its frames.
    const events = typeof event.getCoalescedEvents === "function" ? event.getCoalescedEvents() : [];
    const places = (events.length ? events : [event]).map((each) => this.#place(each));
    this.#show(places.reduce(drawnTo, this.#drawing));
  }

  #place(event: PointerEvent): Point {
    const { left, top, width, height } = this.#pad.getBoundingClientRect();
    const within = (value: number): number => Math.min(1, Math.max(0, value));
    return { x: within((event.clientX - left) / width), y: within((event.clientY - top) / height) };
  }

  #show(next: Drawing): void {
    const changed = next.strokes !== this.#drawing.strokes;
    this.#drawing = next;
    this.#cursor.setAttribute("cx", String(next.cursor.x));
    this.#cursor.setAttribute("cy", String(next.cursor.y));
    this.#cursor.classList.toggle("down", next.down);
    for (const tool of Object.values(this.#tools)) enable(tool, next.strokes.length > 0);
    if (!changed) return;
    this.#ink.replaceChildren(...next.strokes.map((stroke) => shape("polyline", { points: [...stroke, ...(stroke.length === 1 ? stroke : [])].map(({ x, y }) => `${x},${y}`).join(" ") })));
    this.#changed(next.strokes);
  }
}

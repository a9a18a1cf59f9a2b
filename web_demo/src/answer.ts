/** The answer: the digit, how sure the network is of each, and what it was shown. */
import type { Classification, Label } from "digits";
import { element, say, shape } from "./page.ts";
import { CELLS } from "./raster.ts";
import { reading } from "./words.ts";

/** What is read aloud is read at most this often: a camera gives another answer with every picture. */
const PAUSE_MS = 1000;

export class Answer {
  readonly #digit = element("digit", HTMLElement);
  readonly #says = element("says", HTMLElement);
  readonly #aloud = element("aloud", HTMLElement);
  readonly #bars = new Map<string, { row: HTMLElement; number: HTMLElement }>();
  readonly #cells: SVGElement[];
  #timer = 0;

  constructor(labels: readonly Label[]) {
    const scores = element("scores", HTMLElement);
    for (const label of labels) {
      const row = document.createElement("li");
      const [name, bar, number] = ["b", "i", "span"].map((tag) => row.appendChild(document.createElement(tag)));
      if (!name || !bar || !number) continue;
      name.textContent = label;
      scores.append(row);
      this.#bars.set(label, { row, number });
    }
    this.#cells = Array.from({ length: CELLS * CELLS }, (_, k) => shape("rect", { x: k % CELLS, y: Math.floor(k / CELLS), width: 1, height: 1 }));
    element("seen", SVGSVGElement).append(...this.#cells);
    this.empty("Nothing is written yet.");
  }

  /** What the network is shown: 64 counts from 0 to 16. */
  see(counts: Uint8Array): void {
    this.#cells.forEach((cell, k) => cell.setAttribute("fill-opacity", String((counts[k] ?? 0) / 16)));
  }

  empty(words: string): void {
    this.#digit.textContent = "";
    this.see(new Uint8Array());
    for (const { row, number } of this.#bars.values()) {
      row.style.setProperty("--share", "0");
      row.classList.remove("best");
      number.textContent = "";
    }
    this.#say(words);
  }

  show(classes: readonly Classification[]): void {
    const [best] = classes;
    if (best === undefined) return;
    this.#digit.textContent = best.label;
    for (const { label, confidence } of classes) {
      const bar = this.#bars.get(label);
      bar?.row.style.setProperty("--share", confidence.toFixed(4));
      bar?.row.classList.toggle("best", label === best.label);
      if (bar) bar.number.textContent = `${(confidence * 100).toFixed(1)} %`;
    }
    this.#say(reading(classes));
  }

  #say(words: string): void {
    say(this.#says, words);
    this.#timer ||= window.setTimeout(() => {
      this.#timer = 0;
      // Without the percentages, which are never twice the same.
      say(this.#aloud, this.#says.textContent.replace(/ \([^)]*\)/g, ""));
    }, PAUSE_MS);
  }
}

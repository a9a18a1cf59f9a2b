/** Where the model runs: the runtimes to choose from, how long each took, and the histogram. */
import type { Info, RuntimeName } from "digits";
import { drawHistogram } from "./histogram.ts";
import { duration, Latencies } from "./latencies.ts";
import { element, say } from "./page.ts";
import { runtime } from "./words.ts";

interface Row {
  readonly choice: HTMLInputElement;
  readonly figures: readonly HTMLElement[];
}

export class Running {
  readonly #rows = new Map<string, Row>();
  readonly #latencies = new Map<string, Latencies>();
  readonly #says = element("running-says", HTMLElement);
  readonly #histogram = element("histogram", HTMLElement);
  #current = "";
  #frame = 0;

  /** @param choose told the runtime that a person chose */
  constructor(names: readonly RuntimeName[], choose: (name: RuntimeName) => void) {
    const body = element("runtimes", HTMLElement);
    for (const name of names) {
      const row = body.appendChild(document.createElement("tr"));
      const heading = row.appendChild(document.createElement("th"));
      heading.scope = "row";
      const label = heading.appendChild(document.createElement("label"));
      const choice = label.appendChild(document.createElement("input"));
      Object.assign(choice, { type: "radio", name: "runtime", value: name });
      label.append(document.createElement("span"));
      label.append(runtime(name));
      const figures = Array.from({ length: 3 }, () => row.appendChild(document.createElement("td")));
      for (const figure of figures) figure.textContent = "–";
      choice.addEventListener("change", () => choose(name));
      this.#rows.set(name, { choice, figures });
    }
    this.#draw();
  }

  /** A runtime is being started. */
  starting(name: RuntimeName | "auto"): void {
    say(this.#says, name === "auto" ? "Starting." : `Starting ${runtime(name)}.`);
  }

  /** This is what runs now. */
  started({ runtime: name, thread, milliseconds }: Info): void {
    this.#current = name;
    const where = thread === "worker" ? "in a worker, so that the page never waits" : "in the page itself, because workers are blocked here";
    say(this.#says, `${runtime(name)}, ${where}. It was ready after ${duration(milliseconds.total)}.`);
    this.#choose();
    this.#draw();
  }

  /** A runtime did not start: what ran before still does. */
  failed(): void {
    say(this.#says, this.#current ? `${runtime(this.#current)} goes on.` : "Nothing runs.");
    this.#choose();
  }

  add(name: string, milliseconds: number): void {
    const latencies = this.#latencies.get(name) ?? new Latencies();
    this.#latencies.set(name, latencies);
    latencies.add(milliseconds);
    // At most one drawing a frame, however many predictions came.
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  say(words: string): void {
    say(this.#says, words);
  }

  #choose(): void {
    for (const [name, { choice }] of this.#rows) choice.checked = name === this.#current;
  }

  #draw(): void {
    for (const [name, { figures }] of this.#rows) {
      const summary = this.#latencies.get(name)?.summary();
      if (!summary) continue;
      const texts = [String(summary.count), duration(summary.median), duration(summary.p95)];
      figures.forEach((figure, k) => (figure.textContent = texts[k] ?? ""));
    }
    drawHistogram(this.#histogram, this.#latencies, this.#current);
  }
}

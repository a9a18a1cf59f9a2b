/** Latencies drawn: bars of the runtime that answers now, outlines of the others, on an axis that stays. */
import { BINS, BINS_PER_DECADE, duration, LOWEST_MS, position, type Latencies } from "./latencies.ts";
import { shape } from "./page.ts";
import { runtime } from "./words.ts";

const [WIDTH, HEIGHT, AXIS] = [400, 150, 20];

export function drawHistogram(place: HTMLElement, all: ReadonlyMap<string, Latencies>, current: string): void {
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + AXIS}`, role: "img", "aria-label": spoken(all, current) });
  for (let decade = 0; decade <= BINS / BINS_PER_DECADE; decade++) {
    const x = (decade * BINS_PER_DECADE * WIDTH) / BINS;
    const milliseconds = LOWEST_MS * 10 ** decade;
    const anchor = decade === 0 ? "start" : x === WIDTH ? "end" : "middle";
    svg.append(shape("path", { class: "tick", d: `M${x} 0V${HEIGHT + 4}` }));
    const label = svg.appendChild(shape("text", { x, y: HEIGHT + 16, "text-anchor": anchor }));
    label.textContent = milliseconds < 1000 ? `${Number(milliseconds.toPrecision(1))} ms` : "1 s";
  }
  for (const [name, latencies] of all) if (name !== current) svg.append(shape("path", { class: "other", d: outline(latencies.histogram()) }));
  const own = all.get(current);
  const summary = own?.summary();
  if (own && summary) {
    const x = position(summary.median) * WIDTH;
    svg.append(shape("path", { class: "own", d: `${outline(own.histogram())}Z` }), shape("path", { class: "median", d: `M${x} 0V${HEIGHT}` }));
  }
  place.replaceChildren(svg);
}

/** Steps over the bins, as high as their share of the fullest one. */
function outline(counts: readonly number[]): string {
  const most = Math.max(1, ...counts);
  const width = WIDTH / counts.length;
  const steps = counts.map((count, k) => `V${(HEIGHT * (1 - count / most)).toFixed(1)}H${((k + 1) * width).toFixed(1)}`);
  return `M0 ${HEIGHT}${steps.join("")}V${HEIGHT}`;
}

function spoken(all: ReadonlyMap<string, Latencies>, current: string): string {
  const summary = all.get(current)?.summary();
  if (!summary) return "Histogram of latencies: no predictions yet.";
  return `Histogram of latencies of ${runtime(current)}: ${summary.count} predictions, median ${duration(summary.median)}, 95 percent within ${duration(summary.p95)}.`;
}

/** How far a load is, in bytes as they are after decompression; events as other model libraries name them. */
import type { ProgressEvent } from "../public.ts";

export type { ProgressEvent };

/** Of a file: a page that is told of every packet does little else. */
const STEPS = 50;

/** Counts the bytes of several files. */
export class Progress {
  readonly #loaded = new Map<string, number>();
  readonly #totals = new Map<string, number>();
  /** Bytes of a file when it was told last. */
  readonly #told = new Map<string, number>();
  readonly #report: (event: ProgressEvent) => void;

  constructor(report: (event: ProgressEvent) => void) {
    this.#report = report;
  }

  /** A file that will be loaded. */
  begin(file: string, total: number): void {
    this.#totals.set(file, total);
    this.#loaded.set(file, 0);
    this.#tell("initiate", file);
  }

  /** `loaded` bytes of a file are there; an unknown total grows with them. At most 50 events for each file. */
  advance(file: string, loaded: number, status: "download" | "progress" = "progress"): void {
    this.#loaded.set(file, loaded);
    const total = Math.max(loaded, this.#totals.get(file) ?? 0);
    this.#totals.set(file, total);
    const due = (this.#told.get(file) ?? 0) + total / STEPS;
    if (status === "progress" && loaded < total && loaded < due) return;
    this.#told.set(file, loaded);
    this.#tell(status, file);
  }

  done(file: string, cached: boolean): void {
    this.#loaded.set(file, this.#totals.get(file) ?? 0);
    this.#tell("done", file, cached);
  }

  ready(): void {
    const all = sum(this.#totals);
    this.#report({ status: "ready", loaded: all, total: all, allLoaded: all, allTotal: all });
  }

  #tell(status: ProgressEvent["status"], file: string, cached?: boolean): void {
    const [loaded, total] = [this.#loaded.get(file) ?? 0, this.#totals.get(file) ?? 0];
    const all = { allLoaded: sum(this.#loaded), allTotal: sum(this.#totals) };
    this.#report({ status, file, loaded, total, ...all, ...(cached === undefined ? {} : { cached }) });
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}

/** Who is starting a release right now: a start that has not ended is no failure while its page lives. */

/** Pages of this origin that are at the same work. Browsers let go of what a page held when it dies. */
export class Presence {
  readonly #name: string;
  #leave: () => void = () => undefined;

  /** @param name of the work */
  constructor(name: string) {
    this.#name = `edgeship starts ${name}`;
  }

  /** This page is at it, until `leave`. */
  enter(): void {
    this.leave();
    const until = new Promise<void>((leave) => (this.#leave = leave));
    // A page that was left may lie in the browser's back/forward cache, with all that it holds.
    (globalThis as { addEventListener?: Window["addEventListener"] }).addEventListener?.("pagehide", this.#leave, { once: true });
    void manager()?.request(this.#name, { mode: "shared" }, () => until).catch(() => undefined);
  }

  leave(): void {
    this.#leave();
  }

  /** How many pages are at it; 0 where the browser does not say. */
  async count(): Promise<number> {
    const found = await manager()?.query().catch(() => undefined); // pages that may not store may not lock either
    return found?.held?.filter(({ name }) => name === this.#name).length ?? 0;
  }
}

function manager(): LockManager | undefined {
  return (globalThis as { navigator?: { locks?: LockManager } }).navigator?.locks;
}

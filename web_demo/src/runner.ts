/** The model that answers now; another runtime, or another release, takes its place only once it has started. */
import { load, type Input, type LoadOptions, type Model, type Prediction, type RuntimeName } from "digits";

/** A prediction, and the runtime that made it, which another one may have replaced meanwhile. */
export type Made = Prediction & { readonly runtime: RuntimeName };

interface Waiting {
  readonly input: Input;
  readonly done: (made: Made | null) => void;
  readonly failed: (error: unknown) => void;
}

export class Runner {
  #model: Model | null = null;
  #waiting: Waiting | null = null;
  #busy = false;
  #starting = new AbortController();
  /** The prediction that is under way. */
  #last: Promise<unknown> = Promise.resolve();

  get model(): Model | null {
    return this.#model;
  }

  /** Start a model in place of the one that runs. Null: another start began meanwhile. */
  async start(options: LoadOptions & { readonly runtime: RuntimeName | "auto" }): Promise<Model | null> {
    this.#starting.abort();
    const { signal } = (this.#starting = new AbortController());
    try {
      const model = await load({ ...options, warmUp: true, signal });
      if (signal.aborted) {
        model.dispose();
        return null;
      }
      const before = this.#model;
      this.#model = model;
      void this.#last.finally(() => before?.dispose()); // somebody may wait for its answer
      return model;
    } catch (error) {
      if (signal.aborted) return null;
      throw error;
    }
  }

  /** The prediction; null where a newer input came before this one's turn. */
  predict(input: Input): Promise<Made | null> {
    return new Promise((done, failed) => {
      this.#waiting?.done(null);
      this.#waiting = { input, done, failed };
      if (!this.#busy) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let next = this.#next(); next !== null; next = this.#next()) {
      try {
        next.done(this.#model === null ? null : await this.#made(this.#model, next.input));
      } catch (error) {
        next.failed(error);
      }
    }
    this.#busy = false;
  }

  async #made(model: Model, input: Input): Promise<Made> {
    const predicting = model.predict(input);
    this.#last = predicting.catch(() => undefined);
    return { ...(await predicting), runtime: model.info.runtime };
  }

  #next(): Waiting | null {
    const next = this.#waiting;
    this.#waiting = null;
    return next;
  }
}

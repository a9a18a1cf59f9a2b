/** The model that answers now; another runtime, or another release, takes its place only once it has started. */
import { load, type Input, type LoadOptions, type Model, type Prediction, type RuntimeName } from "digits";

interface Waiting {
  readonly input: Input;
  readonly done: (prediction: Prediction | null) => void;
  readonly failed: (error: unknown) => void;
}

export class Runner {
  #model: Model | null = null;
  #waiting: Waiting | null = null;
  #busy = false;
  #starts = 0;

  get model(): Model | null {
    return this.#model;
  }

  /** Start a model in place of the one that runs. Null: another start began meanwhile. */
  async start(options: LoadOptions & { readonly runtime: RuntimeName | "auto" }): Promise<Model | null> {
    const start = ++this.#starts;
    const model = await load({ ...options, warmUp: true });
    if (start !== this.#starts) {
      model.dispose();
      return null;
    }
    this.#model?.dispose();
    this.#model = model;
    return model;
  }

  /** The prediction; null where a newer input came before this one's turn. */
  predict(input: Input): Promise<Prediction | null> {
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
        next.done(this.#model === null ? null : await this.#model.predict(next.input));
      } catch (error) {
        next.failed(error);
      }
    }
    this.#busy = false;
  }

  #next(): Waiting | null {
    const next = this.#waiting;
    this.#waiting = null;
    return next;
  }
}

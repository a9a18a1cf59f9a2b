/** `load` and what it gives, the same in browsers and in Node. */
import DESCRIPTION from "edgeship:description";
import type { Info, LoadOptions } from "../public.ts";
import type { Tensor } from "../runtime/description.ts";
import { ModelError } from "../runtime/errors.ts";
import { aborting } from "./aborting.ts";
import type { Channel } from "./channel.ts";
import { classes, type Classification } from "./classes.ts";
import { take, type Input } from "./inputs.ts";
import { isSource } from "./seam.ts";
import { Starting, type Host } from "./starting.ts";

export interface Prediction {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly classes: readonly Classification[];
  readonly milliseconds: number;
}

export class Model {
  readonly info: Info;
  #channel: Channel | null;

  constructor(channel: Channel, info: Info) {
    this.#channel = channel;
    this.info = info;
  }

  async predict(input: Input | Readonly<Record<string, Input>>, options: { readonly signal?: AbortSignal } = {}): Promise<Prediction> {
    options.signal?.throwIfAborted();
    const begun = performance.now();
    const { inputs, transfer } = await take(input, DESCRIPTION);
    try {
      options.signal?.throwIfAborted();
      if (this.#channel === null) throw new ModelError("disposed", "the model was disposed of", "Load it again.");
      const outputs = await aborting(this.#channel.infer(inputs, transfer), options.signal);
      return { outputs, classes: classes(outputs, DESCRIPTION), milliseconds: performance.now() - begun };
    } finally {
      for (const bitmap of transfer) bitmap.close(); // those that nobody took
    }
  }

  dispose(): void {
    this.#channel?.dispose();
    this.#channel = null;
  }
}

/** @throws ModelError; the reason of `signal` where it was aborted */
export async function loadOn(host: Host, options: LoadOptions): Promise<Model> {
  const begun = performance.now();
  const abort = new AbortController();
  const onAbort = (): void => {
    abort.abort(options.signal?.reason);
  };
  options.signal?.throwIfAborted();
  options.signal?.addEventListener("abort", onAbort);
  try {
    const { channel, loaded, release } = await new Starting(host, options).run(abort.signal);
    const milliseconds = { ...loaded.milliseconds, total: performance.now() - begun };
    const { name, version } = DESCRIPTION;
    const runs = release && { version: release.version, variant: release.variant };
    if (isSource(options.updates)) options.updates.serving();
    return new Model(channel, { ...loaded, name, version, release: runs, thread: channel.thread, milliseconds });
  } finally {
    options.signal?.removeEventListener("abort", onAbort);
  }
}

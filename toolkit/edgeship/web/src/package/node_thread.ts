/** A thread of Node, as a worker of browsers. */
import { Worker as Thread } from "node:worker_threads";
import type { Reply, Request } from "../runtime/messages.ts";

/** What `InWorker` uses of a `Worker`. */
class ThreadWorker {
  onmessage: ((event: { readonly data: Reply }) => void) | null = null;
  onerror: ((event: { readonly message: string; preventDefault(): void }) => void) | null = null;
  onmessageerror: (() => void) | null = null;
  readonly #thread: Thread;
  /** Requests without an answer: Node ends without waiting for a model that nobody asks. */
  #asked = 0;

  constructor(script: URL) {
    this.#thread = new Thread(script);
    this.#thread.unref();
    this.#thread.on("message", (data: Reply) => {
      if (data.kind === "done" || data.kind === "failed") this.#count(-1);
      this.onmessage?.({ data });
    });
    const ended = (message: string): void => this.onerror?.({ message, preventDefault: () => undefined });
    this.#thread.on("error", ({ message }: Error) => ended(message));
    this.#thread.on("exit", () => ended("its thread ended")); // also by an exit of its own, which is no error
    this.#thread.on("messageerror", () => this.onmessageerror?.());
  }

  postMessage(request: Request, transfer: Transferable[]): void {
    if (request.op === "load" || request.op === "infer") this.#count(1);
    this.#thread.postMessage(request, transfer as never);
  }

  terminate(): void {
    void this.#thread.terminate();
  }

  #count(change: number): void {
    this.#asked += change;
    if (this.#asked > 0) this.#thread.ref();
    else this.#thread.unref();
  }
}

export const thread = (script: URL): Worker => new ThreadWorker(script) as unknown as Worker;

/** How a page reaches a session: through a worker, or in the page itself where workers are blocked. */
import type { Tensor } from "../runtime/description.ts";
import { fromData, ModelError, text, toData } from "../runtime/errors.ts";
import type { Reply, Request } from "../runtime/messages.ts";
import type { Given, Hooks, Loaded, LoadRequest, Session } from "../runtime/session.ts";

export interface Channel {
  readonly thread: "worker" | "page";
  load(request: LoadRequest, hooks: Hooks): Promise<Loaded>;
  infer(inputs: Readonly<Record<string, Given>>, transfer: Transferable[]): Promise<Record<string, Tensor>>;
  dispose(): void;
}

/** The session in this thread. */
export class InPage implements Channel {
  readonly thread = "page";
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  load(request: LoadRequest, hooks: Hooks): Promise<Loaded> {
    return this.#session.load(request, hooks);
  }

  infer(inputs: Readonly<Record<string, Given>>): Promise<Record<string, Tensor>> {
    return this.#session.infer(inputs);
  }

  dispose(): void {
    this.#session.dispose();
  }
}

/** A worker did not start: not allowed, not there, or no script. */
export class Blocked extends Error {}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** The session in a worker. Its first request fails with `Blocked` where the worker does not start. */
export class InWorker implements Channel {
  readonly thread = "worker";
  readonly #worker: Worker;
  readonly #waiting = new Map<number, Waiting>();
  #next = 0;
  #here = false;
  #hooks: Hooks | null = null;
  /** Why it answers no more. */
  #ended: Error | null = null;

  /** @throws Blocked */
  constructor(make: () => Worker) {
    try {
      this.#worker = make();
    } catch (error) {
      throw new Blocked(text(error));
    }
    this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      this.#take(data);
    };
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message || "its script could not be loaded";
      this.#end(this.#here ? new ModelError("runtime-failed", `the worker failed: ${why}`, "Load the model again.") : new Blocked(why));
    };
    this.#worker.onmessageerror = () => {
      this.#end(new ModelError("runtime-failed", "a message of the worker could not be read", "Load the model again."));
    };
  }

  load(request: LoadRequest, hooks: Hooks): Promise<Loaded> {
    this.#hooks = hooks;
    hooks.signal.addEventListener("abort", () => {
      this.#post({ op: "abort" });
    });
    return this.#ask((id) => ({ op: "load", id, request }));
  }

  infer(inputs: Readonly<Record<string, Given>>, transfer: Transferable[]): Promise<Record<string, Tensor>> {
    return this.#ask((id) => ({ op: "infer", id, inputs }), transfer);
  }

  dispose(): void {
    this.#end(new ModelError("disposed", "the model was disposed of", "Load it again."));
  }

  #ask<T>(request: (id: number) => Request, transfer: Transferable[] = []): Promise<T> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#post(request(id), transfer);
    });
  }

  #post(request: Request, transfer: Transferable[] = []): void {
    this.#worker.postMessage(request, transfer);
  }

  #take(reply: Reply): void {
    this.#here = true;
    if (reply.kind === "progress") this.#hooks?.onProgress(reply.event);
    else if (reply.kind === "need") void this.#supply(reply.id, reply.name);
    else if (reply.kind !== "here") {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if (reply.kind === "done") waiting?.resolve(reply.result as never);
      else waiting?.reject(fromData(reply.error));
    }
  }

  async #supply(id: number, name: string): Promise<void> {
    try {
      const content = await this.#hooks?.model(name);
      if (content === undefined) throw new ModelError("not-found", `${name} was not supplied`, "Let read() give its bytes.");
      this.#post({ op: "file", id, content }, [content.buffer]);
    } catch (error) {
      this.#post({ op: "file", id, error: toData(error) });
    }
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

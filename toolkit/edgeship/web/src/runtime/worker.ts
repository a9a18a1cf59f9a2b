/** The script of the worker. Where workers are blocked, the page imports it and uses `Session` itself. */
import { fromData, toData } from "./errors.ts";
import type { Bytes, Reader } from "./files.ts";
import type { Reply, Request } from "./messages.ts";
import { Session } from "./session.ts";

export { Session };

/** What this needs of the scope of a worker. */
export interface Scope {
  postMessage(message: Reply, transfer?: Transferable[]): void;
  onmessage: ((event: { readonly data: Request }) => void) | null;
}

/** Answers requests until the worker ends. @param read opens addresses; by default over the network */
export function serve(scope: Scope, read?: Reader): void {
  const session = new Session();
  const abort = new AbortController();
  const needed = new Map<number, (answer: Extract<Request, { op: "file" }>) => void>();
  let next = 0;

  const model = async (name: string): Promise<Bytes> => {
    const id = next++;
    const answer = await new Promise<Extract<Request, { op: "file" }>>((resolve) => {
      needed.set(id, resolve);
      scope.postMessage({ kind: "need", id, name });
    });
    if (answer.content === undefined) throw fromData(answer.error ?? { code: "not-found", message: `${name} is not there`, remedy: "" });
    return answer.content;
  };
  const onProgress = (event: Parameters<Parameters<Session["load"]>[1]["onProgress"]>[0]): void => {
    scope.postMessage({ kind: "progress", event });
  };
  const hooks = { signal: abort.signal, onProgress, model, ...(read === undefined ? {} : { read }) };
  const take = async (request: Extract<Request, { id: number }>): Promise<void> => {
    if (request.op === "file") {
      needed.get(request.id)?.(request);
      needed.delete(request.id);
      return;
    }
    const { id } = request;
    try {
      if (request.op === "load") {
        scope.postMessage({ kind: "done", id, result: await session.load(request.request, hooks) });
        return;
      }
      const result = await session.infer(request.inputs);
      const buffers = Object.values(result).map((tensor) => tensor.values.buffer as ArrayBuffer);
      scope.postMessage({ kind: "done", id, result }, [...new Set(buffers)]);
    } catch (error) {
      scope.postMessage({ kind: "failed", id, error: toData(error) });
    }
  };
  scope.onmessage = ({ data }) => {
    if (data.op === "abort") abort.abort();
    else void take(data);
  };
  scope.postMessage({ kind: "here" });
}

// In a page there is a document; in Node neither.
const workers = (globalThis as { WorkerGlobalScope?: new () => object }).WorkerGlobalScope;
if (workers !== undefined && globalThis instanceof workers) serve(globalThis as unknown as Scope);

/** Decoding in workers, so that the page does not wait: a patch of two million weights takes 0.2 s and more. */
import { inThisThread, PatchError, RefusedError, UnavailableError, type Decoding } from "../updates/index.ts";
import type { Bytes } from "../runtime/files.ts";

/** One order to a worker, which ends with it. */
export type Order =
  | { readonly op: "patch"; readonly given: Parameters<Decoding["patch"]> }
  | { readonly op: "unpack"; readonly given: Parameters<Decoding["unpack"]> };
export type Answer = { readonly made: Bytes } | { readonly code: string; readonly message: string };

/** @param script address of decoder.js; where no worker starts, this thread does it */
export function inWorkers(script: string | undefined): Decoding {
  return {
    patch: (...given) => done(script, { op: "patch", given }, () => inThisThread.patch(...given)),
    unpack: (...given) => done(script, { op: "unpack", given }, () => inThisThread.unpack(...given)),
  };
}

async function done(script: string | undefined, order: Order, here: () => Promise<Bytes>): Promise<Bytes> {
  const answer = await ordered(script, order);
  if (answer === null) return here();
  if ("made" in answer) return answer.made;
  if (answer.code === "patch") throw new PatchError(answer.message);
  throw answer.code === "unavailable" ? new UnavailableError(answer.message) : new RefusedError(answer.message);
}

/** Null where no worker starts. */
async function ordered(script: string | undefined, order: Order): Promise<Answer | null> {
  if (script === undefined || typeof Worker === "undefined") return null;
  let worker: Worker | undefined;
  try {
    return await new Promise<Answer | null>((resolve) => {
      worker = new Worker(script, { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<Answer>) => {
        resolve(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        resolve(null);
      };
      worker.postMessage(order);
    });
  } catch {
    return null; // the policy of the page
  } finally {
    worker?.terminate();
  }
}

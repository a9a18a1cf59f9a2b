/** The script of a worker that decodes one file. */
import { inThisThread } from "../updates/decoding.ts";
import { UpdateError } from "../updates/errors.ts";
import { text } from "../runtime/errors.ts";
import type { Bytes } from "../runtime/files.ts";
import type { Answer, Order } from "./decoding.ts";

interface Scope {
  postMessage(answer: Answer, transfer?: Transferable[]): void;
  onmessage: ((event: { readonly data: Order }) => void) | null;
}
const scope = globalThis as unknown as Scope;

const made = (order: Order): Promise<Bytes> => (order.op === "patch" ? inThisThread.patch(...order.given) : inThisThread.unpack(...order.given));

scope.onmessage = ({ data }) => {
  made(data).then(
    (bytes) => scope.postMessage({ made: bytes }, [bytes.buffer]),
    (error: unknown) => scope.postMessage({ code: error instanceof UpdateError ? error.code : "refused", message: text(error) }),
  );
};

/** The script of a thread in Node: what worker.js is in browsers. */
import { parentPort } from "node:worker_threads";
import type { Request } from "../runtime/messages.ts";
import type { Scope, serve as Serve } from "../runtime/worker.ts";
import { read } from "./node_files.ts";

const script = "./worker.js";
const { serve } = (await import(script)) as { serve: typeof Serve };
const scope: Scope = { postMessage: (message, transfer) => parentPort?.postMessage(message, transfer as never), onmessage: null };
parentPort?.on("message", (data: Request) => scope.onmessage?.({ data }));
serve(scope, read);

/** TF.js in WebAssembly on one thread; asks nothing of the page but 'wasm-unsafe-eval'. */
import { registerBackend } from "@tensorflow/tfjs-core";
import { BackendWasm } from "@tensorflow/tfjs-backend-wasm/dist/backend_wasm";
import factory from "@tensorflow/tfjs-backend-wasm/wasm-out/tfjs-backend-wasm.js";
import { KERNELS } from "edgeship:kernels";
import type { Runtime } from "./engine.ts";
import { hasSimd } from "./simd.ts";
import { startTFJS } from "./tfjs.ts";
import { compile, instantiating } from "./wasm.ts";

const RUNTIME: Runtime = {
  wasmNeeded: () => [hasSimd() ? "simd" : "plain"],
  start: (given) =>
    startTFJS(given, "wasm", KERNELS, async () => {
      const [content] = given.wasm.values();
      const { options, failed } = instantiating(await compile(content));
      const program = await Promise.race([factory(options), failed]);
      const number = "number";
      program.tfjs = {
        init: program.cwrap("init", null, []),
        initWithThreadsCount: program.cwrap("init_with_threads_count", null, [number]),
        getThreadsCount: program.cwrap("get_threads_count", number, []),
        registerTensor: program.cwrap("register_tensor", null, [number, number, number]),
        disposeData: program.cwrap("dispose_data", null, [number]),
        dispose: program.cwrap("dispose", null, []),
      };
      const backend = new BackendWasm(program);
      registerBackend("wasm", () => backend);
    }),
};

export const RUNTIMES = { "tfjs-wasm": RUNTIME };

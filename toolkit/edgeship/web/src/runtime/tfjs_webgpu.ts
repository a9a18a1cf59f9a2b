/** TF.js on the GPU through WebGPU. */
import "@tensorflow/tfjs-backend-webgpu/dist/base";
import { KERNELS } from "edgeship:kernels";
import type { Runtime } from "./engine.ts";
import { startTFJS, unsupported } from "./tfjs.ts";
import { webgpuMissing } from "./webgpu.ts";

const RUNTIME: Runtime = {
  wasmNeeded: () => [],
  start: async (given) => {
    const missing = await webgpuMissing();
    if (missing) throw unsupported("webgpu", missing);
    return startTFJS(given, "webgpu", KERNELS, () => undefined);
  },
};

export const RUNTIMES = { "tfjs-webgpu": RUNTIME };

/** TF.js on the GPU through WebGL 2. */
import { registerBackend } from "@tensorflow/tfjs-core";
import { MathBackendWebGL } from "@tensorflow/tfjs-backend-webgl/dist/backend_webgl";
import { KERNELS } from "edgeship:kernels";
import type { Runtime } from "./engine.ts";
import { startTFJS, unsupported } from "./tfjs.ts";

const RUNTIME: Runtime = {
  wasmNeeded: () => {
    const canvas = typeof OffscreenCanvas === "undefined" ? null : new OffscreenCanvas(1, 1);
    const context = canvas?.getContext("webgl2");
    if (!context) throw unsupported("webgl", "there is no WebGL 2 in workers");
    context.getExtension("WEBGL_lose_context")?.loseContext();
    return [];
  },
  start: (given) => startTFJS(given, "webgl", KERNELS, () => registerBackend("webgl", () => new MathBackendWebGL())),
};

export const RUNTIMES = { "tfjs-webgl": RUNTIME };

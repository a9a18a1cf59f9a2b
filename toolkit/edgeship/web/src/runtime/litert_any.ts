/** LiteRT.js with either accelerator; one module serves both. */
import { litert } from "./litert.ts";

export const RUNTIMES = { "litert-wasm": litert("wasm"), "litert-webgpu": litert("webgpu") };

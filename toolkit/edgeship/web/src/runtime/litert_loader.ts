/** Takes the place of @litertjs/wasm-utils, which loads scripts in ways that module workers and strict policies forbid. */
import compat from "edgeship:litert-compat";
import relaxed from "edgeship:litert-relaxed";
import { instantiating } from "./wasm.ts";

let compiled: WebAssembly.Module | null = null;

/** The WebAssembly that the next `createWasmLib` starts. */
export function provide(module: WebAssembly.Module): void {
  compiled = module;
}

/** As LiteRT.js calls it. @param script the loader that it chose by what the browser can */
export async function createWasmLib<T>(Library: new (module: unknown, canvas: unknown) => T, script: unknown, _assets?: unknown, canvas?: unknown): Promise<T> {
  if (compiled === null) throw new Error("no WebAssembly was provided");
  const factory = String(script).includes("compat") ? compat : relaxed;
  const { options, failed } = instantiating(compiled);
  return new Library(await Promise.race([factory(options), failed]), canvas);
}

/** WebAssembly that is compiled from verified bytes, for programs that Emscripten made. */
import type { Emscripten } from "edgeship:emscripten";
import { ModelError, text } from "./errors.ts";
import type { Bytes } from "./files.ts";

/** @throws ModelError unsupported-runtime where the page's policy or the browser refuses it */
export async function compile(content: Bytes | undefined): Promise<WebAssembly.Module> {
  if (content === undefined) throw new ModelError("runtime-failed", "the package lacks its WebAssembly", "Install the package again.");
  try {
    return await WebAssembly.compile(content);
  } catch (error) {
    throw new ModelError("unsupported-runtime", `WebAssembly is not allowed or not known here: ${text(error)}`, "Allow 'wasm-unsafe-eval' in script-src of the page's Content-Security-Policy.", { cause: error });
  }
}

/** Options that hand a module to Emscripten's factory, and a promise that fails where the factory would wait forever. */
export function instantiating(module: WebAssembly.Module): { options: Emscripten; failed: Promise<never> } {
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined);
  const options: Emscripten = {
    instantiateWasm: (imports, done) => {
      WebAssembly.instantiate(module, imports).then((instance) => {
        done(instance, module);
      }, fail);
      return {};
    },
    onAbort: (reason) => {
      fail(new ModelError("runtime-failed", `the runtime gave up: ${text(reason)}`, "Close other pages: it may have run out of memory."));
    },
    print: () => undefined,
    printErr: () => undefined,
  };
  return { options, failed };
}

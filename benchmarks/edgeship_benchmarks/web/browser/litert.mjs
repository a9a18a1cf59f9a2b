/** LiteRT.js: .tflite files in WebAssembly (XNNPACK) or WebGPU. */
import { Fault } from '../npy.mjs';
import { PACKAGES } from './files.mjs';
import { webGPUFacts } from './gpu.mjs';

const WASM = `${PACKAGES}@litertjs/core/wasm/`;

/** @param {{accelerator: 'wasm'|'webgpu', threaded?: boolean, threads: number}} options */
export async function startLiteRT({ accelerator, threaded = false, threads }) {
  const facts = accelerator === 'webgpu' ? await webGPUFacts() : {};
  const library = await import(`${PACKAGES}@litertjs/core/dist/index.js`);
  // Emscripten looks beside the worker's own script otherwise.
  self.Module = { locateFile: (file) => WASM + file, mainScriptUrlOrBlob: `${WASM}litert_wasm_threaded_internal.js` };
  try {
    await library.loadLiteRt(WASM, { threads: threaded });
  } catch (error) {
    throw new Fault('TargetUnavailable', `LiteRT.js does not start in this browser: ${error?.message ?? error}`);
  }
  const running = threaded ? threads : 1;
  return { library, accelerator, threads: running, versions: {}, facts };
}

export class LiteRTEngine {
  /** @param {object} started @param {string} file @param {Map<string, Uint8Array>} contents */
  static async open({ library, accelerator, threads }, file, contents) {
    const engine = new LiteRTEngine();
    const started = performance.now();
    try {
      const options = accelerator === 'wasm' ? { accelerator, cpuOptions: { numThreads: threads } } : { accelerator };
      engine.model = await library.loadAndCompile(contents.get(file), options);
      engine.load_ms = performance.now() - started;
      engine.inputs = engine.model.getInputDetails().map(spec);
      engine.outputs = engine.model.getOutputDetails().map(spec);
    } catch (error) {
      const remedy = /INT8|element type/i.test(String(error?.message)) ? 'LiteRT.js has no int8 inputs and outputs; make int8-floatio.' : 'It is broken, or holds operations that LiteRT.js lacks.';
      throw new Fault('ArtifactError', `LiteRT.js cannot open ${file}: ${error?.message ?? error}`, remedy);
    }
    engine.library = library;
    engine.fixedBatch = engine.inputs[0]?.shape[0] ?? null;
    engine.warnings = warnings(engine.model, accelerator);
    return engine;
  }

  /** As that of `TFJSEngine`. */
  async infer(feeds) {
    const tensors = feeds.map(({ values, shape }) => new this.library.Tensor(values, shape));
    let results = [];
    try {
      results = await this.model.run(tensors);
      return await Promise.all(results.map(async (result, k) => ({ values: (await result.data()).slice(), shape: [...result.type.layout.dimensions], dtype: this.outputs[k].dtype })));
    } finally {
      [...tensors, ...results].forEach((tensor) => tensor.delete());
    }
  }

  dispose() {
    this.model.delete();
  }
}

/** A file that LiteRT.js quietly gave to the processor was not measured on a GPU. */
function warnings(model, accelerator) {
  if (accelerator !== 'webgpu') return [];
  if (model.options.accelerator !== 'webgpu') throw new Fault('ArtifactError', 'LiteRT.js fell back to WebAssembly for this file');
  return model.isFullyAccelerated ? [] : ['some operations of the file run on the processor, not on the GPU'];
}

function spec({ name, shape, dtype }) {
  return { name, shape: [...shape].map((size, axis) => (size > 0 ? size : axis ? null : 1)), dtype };
}

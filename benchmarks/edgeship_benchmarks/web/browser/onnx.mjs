/** ONNX Runtime Web: .onnx files in WebAssembly or WebGPU. */
import { Fault } from '../npy.mjs';
import { PACKAGES } from './files.mjs';
import { webGPUFacts } from './gpu.mjs';

const FOLDER = `${PACKAGES}onnxruntime-web/dist/`;
/** Its range is taken over the whole batch: a sample's result would depend on its neighbours. */
const ONE_BY_ONE = 'DynamicQuantizeLinear';

/** @param {{provider: 'wasm'|'webgpu', threaded?: boolean, threads: number}} options */
export async function startONNX({ provider, threads }) {
  const facts = provider === 'webgpu' ? await webGPUFacts() : {};
  const library = await import(`${FOLDER}ort.${provider}.min.mjs`);
  library.env.wasm.wasmPaths = FOLDER;
  library.env.wasm.numThreads = threads;
  library.env.logLevel = 'error';
  return { library, provider, threads, versions: { 'onnxruntime-web': library.env.versions.common }, facts };
}

export class ONNXEngine {
  /** @param {object} started @param {string} file @param {Map<string, Uint8Array>} contents */
  static async open({ library, provider }, file, contents) {
    const engine = new ONNXEngine();
    const started = performance.now();
    try {
      engine.session = await library.InferenceSession.create(contents.get(file), { executionProviders: [provider] });
    } catch (error) {
      throw new Fault('ArtifactError', `ONNX Runtime Web cannot open ${file}: ${error?.message ?? error}`, 'It is broken, or holds operations that ONNX Runtime Web lacks.');
    }
    engine.load_ms = performance.now() - started;
    engine.library = library;
    engine.inputs = engine.session.inputMetadata.map(spec);
    engine.outputs = engine.session.outputMetadata.map(spec);
    engine.fixedBatch = engine.inputs[0]?.shape[0] ?? null;
    engine.oneByOne = new TextDecoder('latin1').decode(contents.get(file)).includes(ONE_BY_ONE);
    engine.warnings = provider === 'webgpu' ? ['operations that ONNX Runtime Web has no GPU kernel for run on the processor; it does not say which'] : [];
    return engine;
  }

  /** As that of `TFJSEngine`. */
  async infer(feeds) {
    const named = Object.fromEntries(this.inputs.map((input, k) => [input.name, new this.library.Tensor(input.dtype, feeds[k].values, feeds[k].shape)]));
    const results = await this.session.run(named);
    return Promise.all(this.outputs.map(async ({ name }) => {
      const tensor = results[name];
      const values = (await tensor.getData()).slice();
      const { dims, type } = tensor;
      tensor.dispose();
      return { values, shape: [...dims], dtype: type };
    }));
  }

  dispose() {
    this.session.release();
  }
}

function spec(metadata) {
  if (!metadata.isTensor) throw new Fault('ArtifactError', `'${metadata.name}' is no tensor`);
  return { name: metadata.name, shape: metadata.shape.map((size) => (typeof size === 'number' && size > 0 ? size : null)), dtype: metadata.type };
}

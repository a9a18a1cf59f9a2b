/** TF.js as a web page has it: the published bundles of its core, converter and one backend. */
import { Fault } from '../npy.mjs';
import { readModel, TFJSEngine } from '../tfjs.mjs';
import { PACKAGES } from './files.mjs';
import { webGLFacts, webGPUFacts } from './gpu.mjs';

const bundle = (name, file) => `${PACKAGES}@tensorflow/tfjs-${name}/dist/tf-${file ?? name}.es2017.min.js`;

/** @param {{backend: string, simd?: boolean, threaded?: boolean, threads: number}} options */
export async function startTFJS({ backend, simd, threaded = false, threads }) {
  let facts = {};
  if (backend === 'webgl') facts = webGLFacts();
  if (backend === 'webgpu') facts = await webGPUFacts();
  self.importScripts(bundle('core'), bundle('converter'), bundle(`backend-${backend}`));
  const { tf } = self;
  if (backend === 'wasm') facts = await prepareWasm(tf, { simd, threaded, threads });
  const begun = await tf.setBackend(backend);
  await tf.ready();
  if (!begun || tf.getBackend() !== backend) throw new Fault('TargetUnavailable', `TF.js cannot start its backend ${backend} in this browser`);
  const running = threaded ? tf.wasm.getThreadsCount() : 1;
  if (threaded && running < 2) {
    throw new Fault('TargetUnavailable', `TF.js runs on one thread here although ${threads} were asked for`, 'It needs a machine with more cores.');
  }
  const versions = { '@tensorflow/tfjs-core': tf.version_core, [`@tensorflow/tfjs-backend-${backend}`]: tf.version_core };
  return { tf, threads: running, versions, facts };
}

async function prepareWasm(tf, { simd, threaded, threads }) {
  if (simd && !(await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'))) throw new Fault('TargetUnavailable', 'this browser has no WebAssembly SIMD');
  tf.env().set('WASM_HAS_SIMD_SUPPORT', simd);
  tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', threaded);
  if (threaded) tf.wasm.setThreadsCount(threads);
  const folder = `${PACKAGES}@tensorflow/tfjs-backend-wasm/dist/`;
  tf.wasm.setWasmPaths(Object.fromEntries(['', '-simd', '-threaded-simd'].map((kind) => [`tfjs-backend-wasm${kind}.wasm`, `${folder}tfjs-backend-wasm${kind}.wasm`])));
  return { simd: simd ? 'yes' : 'no' };
}

/** @param {{tf: object}} started @param {string} file @param {Map<string, Uint8Array>} contents */
export async function openTFJS({ tf }, file, contents) {
  const reading = performance.now();
  const artifacts = await readModel(file, (name) => {
    const found = contents.get(name === 'model.json' ? file : name);
    if (!found) throw new Error('it is not among the files');
    return found;
  });
  const read_ms = performance.now() - reading;
  const engine = await TFJSEngine.open(tf, tf.loadGraphModel, file, artifacts);
  engine.load_ms += read_ms;
  return engine;
}

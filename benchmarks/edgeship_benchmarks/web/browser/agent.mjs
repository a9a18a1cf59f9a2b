/** The measuring agent in a worker of the page: the twin of the package `agent` for browsers. One worker holds one model. */
import { bytesOf, Fault, memory, npyHeader } from '../npy.mjs';
import { Agent } from '../operations.mjs';
import { clockStep } from './clock.mjs';
import { get } from './files.mjs';
import { ONNXEngine, startONNX } from './onnx.mjs';
import { LiteRTEngine, startLiteRT } from './litert.mjs';
import { openTFJS, startTFJS } from './tfjs.mjs';

/** Word for a runtime -> how it starts, how it opens a model, and what it is asked for. */
const RUNTIMES = {
  'tfjs-wasm-nosimd': [startTFJS, openTFJS, { backend: 'wasm', simd: false }],
  'tfjs-wasm-simd': [startTFJS, openTFJS, { backend: 'wasm', simd: true }],
  'tfjs-wasm-threads': [startTFJS, openTFJS, { backend: 'wasm', simd: true, threaded: true }],
  'tfjs-webgl': [startTFJS, openTFJS, { backend: 'webgl' }],
  'tfjs-webgpu': [startTFJS, openTFJS, { backend: 'webgpu' }],
  'litert-web-wasm': [startLiteRT, LiteRTEngine.open, { accelerator: 'wasm' }],
  'litert-web-wasm-threads': [startLiteRT, LiteRTEngine.open, { accelerator: 'wasm', threaded: true }],
  'litert-web-webgpu': [startLiteRT, LiteRTEngine.open, { accelerator: 'webgpu' }],
  'ort-web-wasm': [startONNX, ONNXEngine.open, { provider: 'wasm' }],
  'ort-web-wasm-threads': [startONNX, ONNXEngine.open, { provider: 'wasm', threaded: true }],
  'ort-web-webgpu': [startONNX, ONNXEngine.open, { provider: 'webgpu' }],
};
const OPERATIONS = new Set(['load', 'run', 'warm_up', 'measure', 'throughput', 'trace', 'memory', 'describe']);

/** How often a long measurement says that it goes on. */
const TOLD_MS = 5000;

class BrowserAgent extends Agent {
  told = 0;

  /** As `Agent.load`; `download_ms`: the model's files, from the network or a cache. */
  async load(request) {
    const answer = await super.load(request);
    return { ...answer, download_ms: this.engine.download_ms, threads: this.engine.threads };
  }

  /** As `Agent.timed`; tells now and then, between two times, that it is alive. */
  async timed(feeds) {
    const found = await super.timed(feeds);
    if (performance.now() - this.told > TOLD_MS) {
      this.told = performance.now();
      this.here.send({ progress: { stage: 'measure', done: 0, total: null } });
    }
    return found;
  }

  /** No browser says what one worker takes. */
  memory() {
    return { peak_memory_mib: null };
  }

  /** What is known in a worker; the page knows the rest. */
  describe() {
    const facts = { clock_step_ms: this.here.clock_ms.toFixed(4), inferences_per_time: String(this.group), ...this.loaded?.facts };
    return { facts };
  }
}

/** @param {{runtime: string, file: string, files: string[], threads: number, created_ms: number}} request */
async function open({ runtime, file, files, threads = 1, created_ms }) {
  if (!(runtime in RUNTIMES)) throw new Fault('InputError', `unknown runtime '${runtime}'`);
  const [start, openModel, options] = RUNTIMES[runtime];
  if (options.threaded && !self.crossOriginIsolated) {
    throw new Fault('TargetUnavailable', 'threads need a page that is cross-origin isolated', 'Open it over https, or on the machine itself.');
  }
  const started = await start({ ...options, threads: options.threaded ? threads : 1 });
  const import_ms = performance.timeOrigin + performance.now() - created_ms;
  const downloading = performance.now();
  const contents = new Map(await Promise.all(files.map(async (name) => [name, new Uint8Array(await get(`model/${address(name)}`))])));
  const download_ms = performance.now() - downloading;
  const engine = await openModel(started, file, contents);
  return Object.assign(engine, { import_ms, download_ms, threads: started.threads, versions: started.versions, facts: started.facts });
}

/** As the server writes addresses when it lists what was sent. @param {string} name of a file */
function address(name) {
  return encodeURIComponent(name).replaceAll('%40', '@').replaceAll('%2F', '/');
}

/** Collects one output and sends it as .npy data when it is whole. */
function write(place, k, dtype, shape) {
  const parts = [npyHeader(dtype, shape)];
  const file = `${place}/${k}.npy`;
  return {
    file,
    write: (values) => parts.push(bytesOf(values).slice()),
    close: async () => {
      const sent = await fetch(file, { method: 'POST', body: new Blob(parts), headers: { 'content-type': 'application/octet-stream' } });
      if (!sent.ok) throw new Fault('EdgeshipError', `outputs were not taken: HTTP ${sent.status}`);
    },
  };
}

async function read(place, name) {
  const found = await fetch(place, { cache: 'no-store' });
  if (!found.ok) throw new Fault('EdgeshipError', `input '${name}' cannot be read: HTTP ${found.status}`);
  return memory(await found.arrayBuffer());
}

const agent = new BrowserAgent({ send: (message) => self.postMessage(message), open, read, write, clock_ms: clockStep() });

/** The result of one request. @param {{op: string}} request */
export async function answer({ op, id, ...request }) {
  if (!OPERATIONS.has(op)) throw new Fault('EdgeshipError', `unknown operation '${op}'`);
  return agent[op](request);
}

/**
 * The measuring agent for Node: the twin of the package `agent` for TF.js graph models, with the real @tensorflow/tfjs.
 *
 * Started as `node agent.mjs FOLDER`, where FOLDER/node_modules holds the packages of package-lock.json. It reads one
 * JSON request a line from standard input and answers on standard output, `{"result": ...}` or
 * `{"error": {"type", "message", "remedy"}}`, after any number of `{"progress": ...}` lines; what libraries print goes
 * to standard error. Operations: the methods of `NodeAgent`; arrays travel as .npy files. Times are wall time.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';

import { NpyWriter, openFile } from './files.mjs';
import { Fault, asFault } from './npy.mjs';
import { Agent } from './operations.mjs';
import { readModel, TFJSEngine } from './tfjs.mjs';

const BACKENDS = { 'tfjs-wasm': 'wasm', 'tfjs-cpu': 'cpu' };

const require = createRequire(path.resolve(process.argv[2] ?? '.', 'package.json'));

/** A model in TF.js as Node has it. */
async function open({ runtime, file }) {
  if (!(runtime in BACKENDS)) throw new Fault('InputError', `unknown runtime '${runtime}'`, `Allowed: ${Object.keys(BACKENDS).join(', ')}.`);
  const started = performance.now();
  const tf = requirePackage('@tensorflow/tfjs-core');
  const converter = requirePackage('@tensorflow/tfjs-converter');
  const backend = requirePackage(`@tensorflow/tfjs-backend-${BACKENDS[runtime]}`);
  if (!(await tf.setBackend(BACKENDS[runtime]))) throw new Fault('EdgeshipError', `TF.js cannot start its backend ${BACKENDS[runtime]}`);
  await tf.ready();
  const import_ms = performance.now() - started;
  const reading = performance.now();
  const artifacts = await readModel(file, (name) => fs.readFileSync(name === 'model.json' ? file : path.join(path.dirname(file), name)));
  const reading_ms = performance.now() - reading;
  const engine = await TFJSEngine.open(tf, converter.loadGraphModel, file, artifacts);
  return Object.assign(engine, {
    import_ms,
    load_ms: reading_ms + engine.load_ms,
    simd: runtime === 'tfjs-wasm' && (await tf.env().getAsync('WASM_HAS_SIMD_SUPPORT')),
    versions: { '@tensorflow/tfjs-core': tf.version_core, [`@tensorflow/tfjs-backend-${BACKENDS[runtime]}`]: backend.version_wasm ?? backend.version_cpu },
  });
}

/** @param {string} name */
function requirePackage(name) {
  try {
    return require(name);
  } catch (error) {
    throw new Fault('MissingPackageError', `${name} cannot be loaded: ${error.message}`, 'Get it: edgeship doctor --install node');
  }
}

class NodeAgent extends Agent {
  /** Peak resident memory of this process since its start, in MiB. */
  memory() {
    const peak = /VmHWM:\s+(\d+)/.exec(readText('/proc/self/status'));
    return { peak_memory_mib: (peak ? Number(peak[1]) : process.resourceUsage().maxRSS) / 1024 };
  }

  /** What Node is; what the machine is, and how it is at this moment, whoever started this agent says. */
  describe() {
    const { node, v8 } = process.versions;
    return { facts: { node, v8, simd: this.loaded?.simd ? 'yes' : 'no', ...this.loaded?.versions } };
  }
}

function readText(file) {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

async function main() {
  console.log = console.info = console.debug = console.error;
  const send = (message) => fs.writeSync(1, `${JSON.stringify(message)}\n`);
  const write = (folder, k, dtype, shape) => new NpyWriter(path.join(folder, `${k}.npy`), dtype, shape);
  const agent = new NodeAgent({ send, open, read: openFile, write });
  const operations = new Set(['load', 'run', 'warm_up', 'measure', 'throughput', 'trace', 'memory', 'describe']);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      const { op, ...request } = JSON.parse(line);
      if (!operations.has(op)) throw new Fault('EdgeshipError', `unknown operation '${op}'`);
      send({ result: await agent[op](request) });
    } catch (error) {
      if (!(error instanceof Fault)) console.error(error);
      const told = error instanceof WebAssembly.RuntimeError ? asFault(error, 'TF.js crashed') : error;
      send({ error: { type: told.kind ?? 'EdgeshipError', message: told.message, remedy: told.remedy ?? '' } });
    }
  }
}

await main();

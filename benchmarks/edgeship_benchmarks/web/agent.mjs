/**
 * The measuring agent for Node: the twin of agent.py for TF.js graph models, with the real @tensorflow/tfjs.
 *
 * Started as `node agent.mjs FOLDER`, where FOLDER/node_modules holds the packages of package-lock.json. It reads one
 * JSON request a line from standard input and answers on standard output, `{"result": ...}` or
 * `{"error": {"type", "message", "remedy"}}`, after any number of `{"progress": ...}` lines; what libraries print goes
 * to standard error. Operations: the methods of `Agent`; arrays travel as .npy files. Times are wall time.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

import { Fault, NpyReader, NpyWriter } from './npy.mjs';

/** Warm-up is over when the medians of two successive windows of this many runs differ by less than the tolerance. */
const WINDOW_RUNS = 10;
const WINDOW_TOLERANCE = 0.05;
const DEFAULT_BATCH = 64;
const BACKENDS = { 'tfjs-wasm': 'wasm', 'tfjs-cpu': 'cpu' };
/** Ops that only the asynchronous executor runs; models of ours have none, others may. */
const ASYNC_OPS = /^(Stateless(If|While)|If|While|Where|Switch|Merge|Enter|Exit|NextIteration|LoopCond|NonMaxSuppressionV\d|TensorArray\w+|TensorList\w+|ListDiff|Unique(V2)?)$/;

const require = createRequire(path.resolve(process.argv[2] ?? '.', 'package.json'));

/** @typedef {{name: string, shape: (number|null)[], dtype: string}} Spec */

/** One model in one backend. */
class Engine {
  /** @param {string} runtime @param {string} file @param {number} threads */
  static async open(runtime, file, threads) {
    const engine = new Engine();
    const started = performance.now();
    engine.tf = requirePackage('@tensorflow/tfjs-core');
    engine.converter = requirePackage('@tensorflow/tfjs-converter');
    const backend = requirePackage(`@tensorflow/tfjs-backend-${BACKENDS[runtime]}`);
    if (!(await engine.tf.setBackend(BACKENDS[runtime]))) throw new Fault('EdgeshipError', `TF.js cannot start its backend ${BACKENDS[runtime]}`);
    await engine.tf.ready();
    engine.import_ms = performance.now() - started;
    engine.simd = runtime === 'tfjs-wasm' && (await engine.tf.env().getAsync('WASM_HAS_SIMD_SUPPORT'));
    engine.versions = { '@tensorflow/tfjs-core': engine.tf.version_core, [`@tensorflow/tfjs-backend-${BACKENDS[runtime]}`]: backend.version_wasm ?? backend.version_cpu };
    engine.warnings = threads > 1 ? ['TF.js runs on one thread in Node; measure more threads in a browser.'] : [];
    await engine.load(file);
    return engine;
  }

  /** @param {string} file model.json, with its shards beside it */
  async load(file) {
    const started = performance.now();
    try {
      const artifacts = readModel(file);
      this.model = await this.converter.loadGraphModel({ load: async () => artifacts });
      this.load_ms = performance.now() - started;
      this.asynchronous = artifacts.modelTopology.node.some((node) => ASYNC_OPS.test(node.op));
      /** @type {Spec[]} */
      this.inputs = specs(artifacts.signature?.inputs, this.model.inputs);
      /** @type {Spec[]} */
      this.outputs = specs(artifacts.signature?.outputs, this.model.outputs);
    } catch (error) {
      if (error instanceof Fault) throw error;
      throw new Fault('ArtifactError', `TF.js cannot open ${file}: ${error.message}`, 'The file is broken or made for another version; convert it again.');
    }
    this.fixedBatch = this.inputs[0]?.shape[0] ?? null;
  }

  /**
   * One inference, from arrays to arrays; nothing stays allocated.
   * @param {{values: ArrayBufferView, shape: number[]}[]} feeds in the order of `inputs`
   * @returns {Promise<{values: ArrayBufferView, shape: number[], dtype: string}[]>} in the order of `outputs`
   */
  async infer(feeds) {
    const tensors = this.inputs.map((spec, k) => this.tf.tensor(feeds[k].values, feeds[k].shape, spec.dtype));
    const named = Object.fromEntries(this.inputs.map((spec, k) => [spec.name, tensors[k]]));
    const names = this.outputs.map((spec) => spec.name);
    let results = [];
    try {
      const found = this.asynchronous ? await this.model.executeAsync(named, names) : this.model.execute(named, names);
      results = Array.isArray(found) ? found : [found];
      return await Promise.all(results.map(async (result) => ({ values: asType(await result.data(), result.dtype), shape: result.shape, dtype: result.dtype })));
    } finally {
      this.tf.dispose([...tensors, ...results]);
    }
  }
}

/** The operations, one method each; keys of a request are the keys of its argument. */
class Agent {
  /** @param {(message: object) => void} send */
  constructor(send) {
    this.send = send;
    /** @type {Engine|null} */
    this.loaded = null;
  }

  get engine() {
    if (!this.loaded) throw new Fault('EdgeshipError', 'the agent has no model: send load first');
    return this.loaded;
  }

  /** Open a file. `import_ms`: TF.js and its backend; `load_ms`: read the file and make it ready to run. */
  async load({ runtime, file, threads = 1 }) {
    if (!(runtime in BACKENDS)) throw new Fault('InputError', `unknown runtime '${runtime}'`, `Allowed: ${Object.keys(BACKENDS).join(', ')}.`);
    this.loaded?.model.dispose();
    this.loaded = null;
    const engine = await Engine.open(runtime, file, threads);
    if (!engine.inputs.length) throw new Fault('ArtifactError', `${file} has no inputs`);
    this.loaded = engine;
    this.file = file;
    const described = (specs) => specs.map((spec) => ({ ...spec, quantization: null }));
    return {
      import_ms: engine.import_ms, load_ms: engine.load_ms, inputs: described(engine.inputs), outputs: described(engine.outputs),
      versions: engine.versions, batch: engine.fixedBatch, warnings: engine.warnings,
    };
  }

  /** Run every sample; writes `<outputs>/<k>.npy` for output k and names the files by output. */
  async run({ inputs, outputs, batch = DEFAULT_BATCH }) {
    const readers = this.open(inputs);
    const writers = [];
    try {
      const total = readers[0].shape[0];
      const size = this.engine.fixedBatch ?? batch;
      let told = performance.now();
      for (let from = 0; from < total; from += size) {
        const count = Math.min(size, total - from);
        const results = await this.infer(this.chunk(readers, from, size));
        results.forEach((result, k) => this.append(writers, k, result, { outputs, total, count, size: this.engine.fixedBatch ?? count }));
        if (performance.now() - told > 200) {
          told = performance.now();
          this.send({ progress: { stage: 'run', done: from + count, total } });
        }
      }
    } finally {
      [...readers, ...writers].forEach((file) => file.close());
    }
    return { outputs: Object.fromEntries(writers.map((writer, k) => [this.engine.outputs[k].name, writer.file])) };
  }

  /** Infer until the medians of the last two windows of runs are within 5 %, or `max_runs` are done. */
  async warm_up({ inputs, max_runs = 200 }) {
    const feeds = this.feeds(inputs);
    const times = [await this.timed(feeds[0])];
    let stable = false;
    while (times.length < max_runs && !stable) {
      times.push(await this.timed(feeds[times.length % feeds.length]));
      if (times.length % WINDOW_RUNS === 0 && times.length >= 2 * WINDOW_RUNS) {
        const before = median(times.slice(-2 * WINDOW_RUNS, -WINDOW_RUNS));
        stable = Math.abs(median(times.slice(-WINDOW_RUNS)) / before - 1) <= WINDOW_TOLERANCE;
      }
    }
    return { first_inference_ms: times[0], runs: times.length, stable };
  }

  /**
   * Time single inferences, cycling through the samples, until both minima are reached. One time covers: making the
   * input tensors, the inference, reading all outputs. With a fixed batch of B it is divided by B.
   */
  async measure({ inputs, min_runs = 20, min_seconds = 0.2 }) {
    const feeds = this.feeds(inputs);
    const times = [];
    const end = performance.now() + min_seconds * 1e3;
    while (times.length < min_runs || performance.now() < end) times.push(await this.timed(feeds[times.length % feeds.length]));
    return { latency_ms: times };
  }

  /** Peak resident memory of this process since its start, in MiB. */
  memory() {
    const peak = /VmHWM:\s+(\d+)/.exec(readText('/proc/self/status'));
    return { peak_memory_mib: (peak ? Number(peak[1]) : process.resourceUsage().maxRSS) / 1024 };
  }

  /** What this machine is, and how it is at this moment. */
  describe() {
    const facts = {
      system: `${os.type()} ${os.release()}`, machine: os.arch(), cpu: os.cpus()[0]?.model ?? '',
      cores: String(os.availableParallelism?.() ?? os.cpus().length), memory_mib: String(Math.floor(os.totalmem() / 2 ** 20)),
      node: process.versions.node, v8: process.versions.v8, load_average: os.loadavg()[0].toFixed(2),
      simd: this.loaded?.simd ? 'yes' : 'no', ...this.loaded?.versions,
    };
    return { facts };
  }

  /** Open the inputs in the model's order: by name, or the only one whatever its name. */
  open(files) {
    const { inputs } = this.engine;
    const given = Object.keys(files);
    const wanted = inputs.map((spec) => `${spec.name} [${spec.shape.map((d) => d ?? 'any')}] ${spec.dtype}`).join(', ');
    const names = given.length === 1 && inputs.length === 1 ? given : inputs.map((spec) => spec.name);
    if (given.length !== names.length || names.some((name) => !(name in files))) {
      throw new Fault('DataError', `inputs are called ${given.join(', ')}`, `The model has: ${wanted}.`);
    }
    const readers = names.map((name) => new NpyReader(files[name], name));
    readers.forEach((reader, k) => {
      const { shape } = inputs[k];
      const fits = shape.length === reader.shape.length && shape.slice(1).every((d, i) => d === null || d === reader.shape[i + 1]);
      if (!fits) throw new Fault('DataError', `input '${reader.name}' has shape (${reader.shape})`, `The model has: ${wanted}.`);
    });
    const lengths = new Set(readers.map((reader) => reader.shape[0]));
    if (lengths.size !== 1 || lengths.has(0)) {
      throw new Fault('DataError', `inputs have ${[...lengths]} samples`, 'Give equally many, at least one.');
    }
    return readers;
  }

  /** `size` samples as the model stores them; the last chunk of a fixed batch is filled up with its last sample. */
  chunk(readers, from, size) {
    return readers.map((reader, k) => {
      const to = Math.min(from + size, reader.shape[0]);
      let values = store(reader.rows(from, to), reader, this.engine.inputs[k]);
      const rows = this.engine.fixedBatch ?? to - from;
      if (rows > to - from) {
        const filled = new values.constructor(rows * reader.rowSize);
        filled.set(values);
        for (let row = to - from; row < rows; row++) filled.set(values.subarray(-reader.rowSize), row * reader.rowSize);
        values = filled;
      }
      return { values, shape: [rows, ...reader.shape.slice(1)] };
    });
  }

  /** Feeds of single inferences, one after another. */
  feeds(inputs) {
    const readers = this.open(inputs);
    const size = this.engine.fixedBatch ?? 1;
    const feeds = [];
    for (let from = 0; from < readers[0].shape[0]; from += size) feeds.push(this.chunk(readers, from, size));
    readers.forEach((reader) => reader.close());
    return feeds;
  }

  async infer(feeds) {
    try {
      return await this.engine.infer(feeds);
    } catch (error) {
      throw new Fault('ArtifactError', `${this.file} cannot be run: ${error.message}`);
    }
  }

  async timed(feeds) {
    const started = performance.now();
    await this.infer(feeds);
    return (performance.now() - started) / feeds[0].shape[0];
  }

  /** Append the samples of one output to its file. */
  append(writers, k, { values, shape, dtype }, { outputs, total, count, size }) {
    const spec = this.engine.outputs[k];
    if (shape[0] !== size) {
      throw new Fault('ArtifactError', `output '${spec.name}' has shape (${shape}) for ${size} samples`, 'The first axis of every output must be the batch.');
    }
    const rowSize = values.length / shape[0];
    writers[k] ??= Object.assign(new NpyWriter(path.join(outputs, `${k}.npy`), dtype, [total, ...shape.slice(1)]), { rowShape: String(shape.slice(1)) });
    if (writers[k].rowShape !== String(shape.slice(1))) throw new Fault('ArtifactError', `output '${spec.name}' has samples of different shapes`);
    writers[k].write(values.subarray(0, count * rowSize));
  }
}

/** @param {string} name */
function requirePackage(name) {
  try {
    return require(name);
  } catch (error) {
    throw new Fault('MissingPackageError', `${name} cannot be loaded: ${error.message}`, 'Get it: edgeship doctor --install node');
  }
}

/** model.json and its shards as the artifacts of an IOHandler. Untrusted: names stay in the folder, sizes must fit. */
function readModel(file) {
  let json;
  try {
    json = JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Fault('ArtifactError', `${file} cannot be read: ${error.message}`);
  }
  if (!Array.isArray(json?.modelTopology?.node) || !Array.isArray(json.weightsManifest)) {
    throw new Fault('ArtifactError', `${file} is no TF.js graph model`, 'A TF.js layers model must be converted from its Keras original.');
  }
  const parts = json.weightsManifest.flatMap((group) => group.paths).map((name) => readShard(file, name));
  const weightData = Buffer.concat(parts);
  const weightSpecs = json.weightsManifest.flatMap((group) => group.weights);
  const expected = weightSpecs.some((spec) => spec.dtype === 'string') ? weightData.length : weightSpecs.reduce((sum, spec) => sum + bytesOf(spec), 0);
  if (expected !== weightData.length) {
    throw new Fault('ArtifactError', `${file}: the weights are ${weightData.length} bytes, ${expected} are expected`, 'The file is damaged; convert it again.');
  }
  return {
    modelTopology: json.modelTopology, signature: json.signature, userDefinedMetadata: json.userDefinedMetadata, format: json.format,
    weightSpecs, weightData: weightData.buffer.slice(weightData.byteOffset, weightData.byteOffset + weightData.length),
  };
}

function readShard(file, name) {
  if (typeof name !== 'string' || name !== path.basename(name) || name === '..') {
    throw new Fault('ArtifactError', `${file} names the weights file '${name}', which is outside of its folder`);
  }
  try {
    return fs.readFileSync(path.join(path.dirname(file), name));
  } catch (error) {
    throw new Fault('ArtifactError', `${file}: the weights file ${name} cannot be read: ${error.message}`);
  }
}

const ELEMENT_BYTES = { float32: 4, int32: 4, bool: 1, complex64: 8, float16: 2, uint8: 1, uint16: 2 };

function bytesOf(spec) {
  const dtype = spec.quantization?.dtype ?? spec.dtype;
  if (!(dtype in ELEMENT_BYTES)) throw new Fault('ArtifactError', `weight '${spec.name}' has the unknown dtype ${dtype}`);
  return spec.shape.reduce((a, b) => a * b, 1) * ELEMENT_BYTES[dtype];
}

/** Inputs or outputs from the signature, in its order; from the graph's own where there is no signature. */
function specs(entries, fallback) {
  if (!entries || !Object.keys(entries).length) {
    return fallback.map((tensor) => ({ name: tensor.name, shape: (tensor.shape ?? []).map((d) => (d < 0 ? null : d)), dtype: tensor.dtype ?? 'float32' }));
  }
  return Object.entries(entries).map(([name, info]) => ({
    name,
    shape: (info.tensorShape?.dim ?? []).map((dim) => (Number(dim.size) < 0 ? null : Number(dim.size))),
    dtype: { DT_FLOAT: 'float32', DT_HALF: 'float32', DT_BOOL: 'bool' }[info.dtype] ?? 'int32',
  }));
}

const TARGETS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/** A widening cast in TF.js keeps the narrower array: a float32 tensor may hold an Int32Array. */
function asType(values, dtype) {
  if (!(dtype in TARGETS)) throw new Error(`an output of dtype ${dtype} cannot be read`);
  return values instanceof TARGETS[dtype] ? values : new TARGETS[dtype](values);
}

/** Values as the tensor stores them; refuses what would change silently. Rounding to float32 is what the model does. */
function store(values, reader, spec) {
  if (reader.dtype === spec.dtype) return values;
  const stored = new TARGETS[spec.dtype](values.length);
  const fromFloat = reader.dtype.startsWith('float');
  const rounds = spec.dtype === 'float32' && fromFloat;
  for (let k = 0; k < values.length; k++) {
    const value = Number(values[k]);
    stored[k] = value;
    const same = rounds ? Number.isFinite(stored[k]) === Number.isFinite(value) : stored[k] === value;
    const fits = spec.dtype !== 'bool' || value === 0 || value === 1;
    if (!same || !fits || (!fromFloat && !rounds && BigInt(values[k]) !== BigInt(stored[k]))) {
      throw new Fault('DataError', `input '${reader.name}': ${reader.dtype} values do not fit ${spec.dtype}`);
    }
  }
  return stored;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
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
  const agent = new Agent(send);
  const operations = new Set(['load', 'run', 'warm_up', 'measure', 'memory', 'describe']);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      const { op, ...request } = JSON.parse(line);
      if (!operations.has(op)) throw new Fault('EdgeshipError', `unknown operation '${op}'`);
      send({ result: await agent[op](request) });
    } catch (error) {
      if (!(error instanceof Fault)) console.error(error);
      send({ error: { type: error.kind ?? 'EdgeshipError', message: error.message, remedy: error.remedy ?? '' } });
    }
  }
}

await main();

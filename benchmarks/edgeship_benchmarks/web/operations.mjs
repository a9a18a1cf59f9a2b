/**
 * The operations of the agent that are the same in Node and in browsers; keys of a request are the keys of their argument.
 *
 * What differs is given: `open({runtime, file, threads})` makes an engine (see tfjs.mjs), `read(place, name)` a `Source` of
 * .npy data, `write(place, dtype, shape)` a writer of such. Times are wall time of `performance.now()`.
 */
import { ARRAYS, Fault, NpyReader, asFault } from './npy.mjs';

/** Warm-up is over when the medians of two successive windows of this many runs differ by less than the tolerance. */
const WINDOW_RUNS = 10;
const WINDOW_TOLERANCE = 0.05;
const DEFAULT_BATCH = 64;
/** Inferences of a round that are traced, at most: each keeps a row for every operator. */
const MOST_TRACED = 200;
/** A time must be this many steps of the clock long: rounding to a step is then an error of 5 % at most, of no bias. */
const CLOCK_STEPS = 20;

export class Agent {
  /**
   * @param {object} here
   * @param {(message: object) => void} here.send
   * @param {(request: object) => Promise<object>} here.open an engine, with `import_ms`
   * @param {(place: string, name: string) => import('./npy.mjs').Source | Promise<import('./npy.mjs').Source>} here.read
   * @param {(place: string, k: number, dtype: string, shape: number[]) => {file: string, write: Function, close: Function}} here.write
   * @param {number} [here.clock_ms] the step of the clock; 0 = finer than anything that is timed
   */
  constructor(here) {
    this.here = here;
    /** @type {object|null} */
    this.loaded = null;
    /** Inferences in one time. */
    this.group = 1;
  }

  get engine() {
    if (!this.loaded) throw new Fault('EdgeshipError', 'the agent has no model: send load first');
    return this.loaded;
  }

  /** Open a file. `import_ms`: the runtime and its backend; `load_ms`: make the file ready to run. */
  async load(request) {
    this.loaded?.dispose();
    this.loaded = null;
    this.group = 1;
    const engine = await this.here.open(request);
    if (!engine.inputs.length) throw new Fault('ArtifactError', `${request.file} has no inputs`);
    this.loaded = engine;
    this.file = request.file;
    const described = (specs) => specs.map((spec) => ({ ...spec, quantization: null }));
    return {
      import_ms: engine.import_ms, load_ms: engine.load_ms, inputs: described(engine.inputs), outputs: described(engine.outputs),
      versions: engine.versions, batch: engine.fixedBatch, warnings: engine.warnings, operations: ['throughput', ...(engine.profile ? ['trace'] : [])],
    };
  }

  /** Run every sample; writes output k to `outputs` and names what was written by output. */
  async run({ inputs, outputs, batch = DEFAULT_BATCH }) {
    const readers = await this.open(inputs);
    const writers = [];
    try {
      const total = readers[0].shape[0];
      const size = this.batch(batch);
      let told = performance.now();
      for (let from = 0; from < total; from += size) {
        const count = Math.min(size, total - from);
        const results = await this.infer(this.chunk(readers, from, size));
        for (const [k, result] of results.entries()) this.append(writers, k, result, { outputs, total, count, size: this.engine.fixedBatch ?? count });
        if (performance.now() - told > 200) {
          told = performance.now();
          this.here.send({ progress: { stage: 'run', done: from + count, total } });
        }
      }
    } finally {
      await Promise.all([...readers, ...writers].map((file) => file.close()));
    }
    return { outputs: Object.fromEntries(writers.map((writer, k) => [this.engine.outputs[k].name, writer.file])) };
  }

  /**
   * Infer until the medians of the last two windows of runs are within 5 %, or `max_runs` are done. `first_inference_ms`
   * is the very first inference, whole: with a fixed batch of B, of B samples.
   */
  async warm_up({ inputs, max_runs = 200 }) {
    const feeds = await this.feeds(inputs);
    this.group = 1;
    const started = performance.now();
    const times = [await this.timed(feeds[0])];
    let stable = false;
    while (times.length < max_runs && !stable) {
      times.push(await this.timed(feeds[times.length % feeds.length]));
      if (times.length % WINDOW_RUNS === 0 && times.length >= 2 * WINDOW_RUNS) {
        const before = median(times.slice(-2 * WINDOW_RUNS, -WINDOW_RUNS));
        // A clock that is too coarse says 0 twice: nothing changed that it could see.
        stable = Math.abs(median(times.slice(-WINDOW_RUNS)) - before) <= WINDOW_TOLERANCE * before;
      }
    }
    this.group = this.inferencesPerTime(times, performance.now() - started);
    return { first_inference_ms: times[0], runs: times.length, stable };
  }

  /** So many inferences that one time is `CLOCK_STEPS` steps of the clock or more. */
  inferencesPerTime(times, elapsed) {
    const step = this.here.clock_ms ?? 0;
    const one = median(times.slice(-WINDOW_RUNS)) || elapsed / times.length || step / CLOCK_STEPS;
    return Math.max(1, Math.ceil((CLOCK_STEPS * step) / one));
  }

  /**
   * Time single inferences, cycling through the samples, until both minima are reached. One time covers: making the
   * input tensors, the inference, reading all outputs. With a fixed batch of B it is divided by B. Where the clock is
   * too coarse for one inference, a time is the mean over `inferences_per_time` of them.
   */
  async measure({ inputs, min_runs = 20, min_seconds = 0.2 }) {
    const feeds = await this.feeds(inputs);
    const size = feeds[0][0].shape[0];
    const times = [];
    const end = performance.now() + min_seconds * 1e3;
    while (times.length < min_runs || performance.now() < end) times.push((await this.timed(feeds[times.length % feeds.length])) / size);
    return { latency_ms: times, inferences_per_time: this.group };
  }

  /**
   * Samples a second with `batch` of them in an inference; `batch` in the answer is what it was. Input tensors are made
   * and outputs read each time.
   */
  async throughput({ inputs, batch = 1, min_seconds = 0.5 }) {
    const size = this.batch(batch);
    const readers = await this.open(inputs);
    const feeds = this.chunk(readers, 0, size).map(({ values, shape: [total, ...rest] }) => {
      const row = values.length / total;
      const filled = new values.constructor(size * row);
      for (let k = 0; k < size; k++) filled.set(values.subarray((k % total) * row, ((k % total) + 1) * row), k * row);
      return { values: filled, shape: [size, ...rest] };
    });
    readers.forEach((reader) => reader.close());
    await this.infer(feeds);
    const started = performance.now();
    let count = 0;
    for (; performance.now() - started < min_seconds * 1e3; count += size) await this.infer(feeds);
    return { batch: size, per_second: (count / (performance.now() - started)) * 1e3 };
  }

  /**
   * What the runtime says of its operators: milliseconds in each round, in the order in which they ran. `traced_ms`:
   * of an inference while it is traced; `whole_ms`: of one that is not, in turn with them.
   */
  async trace({ inputs, rounds = 21, seconds = 10 }) {
    const [feeds] = await this.feeds(inputs);
    const size = feeds[0].shape[0];
    await this.infer(feeds);
    const first = await this.profiled(feeds);
    const times = first.map(() => []);
    const found = { traced_ms: [], whole_ms: [] };
    for (let round = 0; round < rounds; round++) {
      const runs = { traced: [], whole: [], kernels: [] };
      const end = performance.now() + (seconds * 1e3) / rounds;
      do {
        const started = performance.now();
        await this.infer(feeds);
        const between = performance.now();
        runs.kernels.push(await this.profiled(feeds));
        runs.whole.push(between - started);
        runs.traced.push(performance.now() - between);
      } while (performance.now() < end && runs.kernels.length < MOST_TRACED);
      if (runs.kernels.some((kernels) => kernels.length !== first.length)) throw new Fault('ArtifactError', `${this.file} does not run the same operators each time`);
      for (const [k, row] of times.entries()) row.push(middle(runs.kernels.map((kernels) => kernels[k].ms)) / size);
      found.traced_ms.push(fast(runs.traced) / size);
      found.whole_ms.push(fast(runs.whole) / size);
      this.here.send({ progress: { stage: 'profile', done: round + 1, total: rounds } });
    }
    const operators = first.map(({ name, macs }, k) => ({ name: `${name} ${k}`, type: name, macs: macs === null ? null : macs / size, ms: times[k] }));
    return { operators, ...found };
  }

  async profiled(feeds) {
    try {
      return await this.engine.profile(feeds);
    } catch (error) {
      throw asFault(error, `${this.file} cannot be profiled`);
    }
  }

  /** Open the inputs in the model's order: by name, or the only one whatever its name. */
  async open(files) {
    const { inputs } = this.engine;
    const given = Object.keys(files);
    const wanted = inputs.map((spec) => `${spec.name} [${spec.shape.map((d) => d ?? 'any')}] ${spec.dtype}`).join(', ');
    const names = given.length === 1 && inputs.length === 1 ? given : inputs.map((spec) => spec.name);
    if (given.length !== names.length || names.some((name) => !(name in files))) {
      throw new Fault('DataError', `inputs are called ${given.join(', ')}`, `The model has: ${wanted}.`);
    }
    const readers = await Promise.all(names.map(async (name) => new NpyReader(await this.here.read(files[name], name), name)));
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

  /** Samples per inference: what the file fixes, else as asked for. */
  batch(asked) {
    return this.engine.fixedBatch ?? (this.engine.oneByOne ? 1 : asked);
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
  async feeds(inputs) {
    const readers = await this.open(inputs);
    const size = this.batch(1);
    const feeds = [];
    for (let from = 0; from < readers[0].shape[0]; from += size) feeds.push(this.chunk(readers, from, size));
    readers.forEach((reader) => reader.close());
    return feeds;
  }

  async infer(feeds) {
    try {
      return await this.engine.infer(feeds);
    } catch (error) {
      throw asFault(error, `${this.file} cannot be run`);
    }
  }

  /** Milliseconds of one inference, of as many samples as it takes: the mean over a group of them. */
  async timed(feeds) {
    const started = performance.now();
    for (let k = 0; k < this.group; k++) await this.infer(feeds);
    return (performance.now() - started) / this.group;
  }

  /** Append the samples of one output to its file. */
  append(writers, k, { values, shape, dtype }, { outputs, total, count, size }) {
    const spec = this.engine.outputs[k];
    if (shape[0] !== size) {
      throw new Fault('ArtifactError', `output '${spec.name}' has shape (${shape}) for ${size} samples`, 'The first axis of every output must be the batch.');
    }
    const rowSize = values.length / shape[0];
    writers[k] ??= Object.assign(this.here.write(outputs, k, dtype, [total, ...shape.slice(1)]), { rowShape: String(shape.slice(1)) });
    if (writers[k].rowShape !== String(shape.slice(1))) throw new Fault('ArtifactError', `output '${spec.name}' has samples of different shapes`);
    writers[k].write(values.subarray(0, count * rowSize));
  }
}

/** Values as the tensor stores them; refuses what would change silently. Rounding to float32 is what the model does. */
function store(values, reader, spec) {
  if (reader.dtype === spec.dtype) return values;
  if (!(spec.dtype in ARRAYS)) throw new Fault('ArtifactError', `input '${spec.name}' is ${spec.dtype}, which cannot be fed here`);
  const stored = new ARRAYS[spec.dtype](values.length);
  const big = typeof stored[0] === 'bigint';
  const fromFloat = reader.dtype.startsWith('float');
  const rounds = spec.dtype === 'float32' && fromFloat;
  for (let k = 0; k < values.length; k++) {
    const value = Number(values[k]);
    if (big && !Number.isInteger(value)) throw unfit(reader, spec);
    stored[k] = big ? BigInt(values[k]) : value;
    const same = rounds ? Number.isFinite(stored[k]) === Number.isFinite(value) : Number(stored[k]) === value;
    const fits = spec.dtype !== 'bool' || value === 0 || value === 1;
    if (!same || !fits || (!fromFloat && !rounds && BigInt(values[k]) !== BigInt(stored[k]))) throw unfit(reader, spec);
  }
  return stored;
}

function unfit(reader, spec) {
  return new Fault('DataError', `input '${reader.name}': ${reader.dtype} values do not fit ${spec.dtype}`);
}

/** Mean of the middle three fifths: a median of steps of a clock would know no parts of them. @param {number[]} values */
function middle(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 5);
  const kept = sorted.slice(cut, sorted.length - cut);
  return kept.reduce((a, b) => a + b, 0) / kept.length;
}

/** Lower quartile, which other work disturbs least. @param {number[]} values */
function fast(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 2];
}

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

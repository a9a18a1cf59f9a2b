/**
 * TF.js graph models as engines of the agent, in Node and in browsers.
 *
 * An engine has: `inputs` and `outputs` (`Spec[]`), `fixedBatch` (number|null), `versions`, `warnings`, `load_ms`, `infer`, `dispose`,
 * and `profile` where its runtime can be asked for the times of operators.
 */
import { ARRAYS, Fault, asFault } from './npy.mjs';

/** Ops that only the asynchronous executor runs; models of ours have none, others may. */
const ASYNC_OPS = /^(Stateless(If|While)|If|While|Where|Switch|Merge|Enter|Exit|NextIteration|LoopCond|NonMaxSuppressionV\d|TensorArray\w+|TensorList\w+|ListDiff|Unique(V2)?)$/;

/** @typedef {{name: string, shape: (number|null)[], dtype: string}} Spec */

/** One model in the backend that `tf` was set to. */
export class TFJSEngine {
  /**
   * @param {object} tf tfjs-core @param {Function} loadGraphModel of tfjs-converter
   * @param {string} file what messages call the model
   * @param {object} artifacts what `readModel` gave
   */
  static async open(tf, loadGraphModel, file, artifacts) {
    const engine = new TFJSEngine();
    const started = performance.now();
    try {
      engine.tf = tf;
      engine.model = await loadGraphModel({ load: async () => artifacts });
      engine.load_ms = performance.now() - started;
      engine.asynchronous = artifacts.modelTopology.node.some((node) => ASYNC_OPS.test(node.op));
      /** @type {Spec[]} */
      engine.inputs = specs(artifacts.signature?.inputs, engine.model.inputs);
      /** @type {Spec[]} */
      engine.outputs = specs(artifacts.signature?.outputs, engine.model.outputs);
    } catch (error) {
      throw asFault(error, `TF.js cannot open ${file}`, 'The file is broken or made for another version; convert it again.');
    }
    engine.fixedBatch = engine.inputs[0]?.shape[0] ?? null;
    engine.warnings = [];
    return engine;
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

  /**
   * Kernels of one inference in the order in which they ran, timed by the backend.
   * @param {{values: ArrayBufferView, shape: number[]}[]} feeds
   * @returns {Promise<{name: string, ms: number, macs: number|null}[]>}
   */
  async profile(feeds) {
    this.tf.env().set('CHECK_COMPUTATION_FOR_ERRORS', false); // it would read the outputs of every kernel
    const { kernels } = await this.tf.profile(() => this.infer(feeds));
    const own = kernels.filter(({ name }) => !name.endsWith('__op')); // those of others are in them
    return own.map(({ name, kernelTimeMs, inputShapes, outputShapes }) => {
      if (!Number.isFinite(kernelTimeMs)) throw new Fault('TargetUnavailable', 'TF.js cannot time kernels in this backend here', 'Profile the wasm backend.');
      return { name, ms: Math.max(0, kernelTimeMs), macs: multiplications(name, inputShapes, outputShapes[0]) };
    });
  }

  dispose() {
    this.model.dispose();
  }
}

/** Multiply-accumulates of a kernel of TF.js, from the shapes of its inputs; null where its name does not say. */
function multiplications(kernel, [first, second], output) {
  const product = (sizes) => sizes.reduce((a, b) => a * b, 1);
  if (!first || !second || !output) return /Conv|MatMul|Einsum/.test(kernel) ? null : 0;
  if (/^(Fused)?Conv2D$/.test(kernel)) return product(output) * product(second.slice(0, 3));
  if (/^(Fused)?DepthwiseConv2d?(D|Native)?$/i.test(kernel)) return product(output) * product(second.slice(0, 2));
  // Each number of the result is a sum over the axis that the factors share: |A| |B| = (rows k)(k columns).
  if (/^(_FusedMatMul|BatchMatMul)$/.test(kernel)) return product(output) * Math.sqrt((product(first.slice(-2)) * product(second.slice(-2))) / product(output.slice(-2)));
  return /Conv|MatMul|Einsum/.test(kernel) ? null : 0;
}

/**
 * model.json and its shards as the artifacts of an IOHandler. Untrusted: names stay in the folder, sizes must fit.
 * @param {string} file what messages call the model
 * @param {(name: string) => Uint8Array | Promise<Uint8Array>} read a file beside model.json, or itself (`model.json`)
 */
export async function readModel(file, read) {
  try {
    return await artifactsOf(file, JSON.parse(new TextDecoder().decode(await read('model.json'))), read);
  } catch (error) {
    if (error instanceof Fault) throw error; // others: what is in the JSON is not what belongs there
    throw new Fault('ArtifactError', `${file} cannot be read: ${error.message}`, 'The file is damaged; convert it again.');
  }
}

async function artifactsOf(file, json, read) {
  if (!Array.isArray(json?.modelTopology?.node) || !Array.isArray(json.weightsManifest)) {
    throw new Fault('ArtifactError', `${file} is no TF.js graph model`, 'A TF.js layers model must be converted from its Keras original.');
  }
  const names = json.weightsManifest.flatMap((group) => group.paths);
  const parts = await Promise.all(names.map((name) => readShard(file, name, read)));
  const weightSpecs = json.weightsManifest.flatMap((group) => group.weights);
  const size = parts.reduce((sum, part) => sum + part.length, 0);
  const expected = weightSpecs.some((spec) => spec.dtype === 'string') ? size : weightSpecs.reduce((sum, spec) => sum + weightBytes(spec), 0);
  if (expected !== size) {
    throw new Fault('ArtifactError', `${file}: the weights are ${size} bytes, ${expected} are expected`, 'The file is damaged; convert it again.');
  }
  const { modelTopology, signature, userDefinedMetadata, format } = json;
  return { modelTopology, signature, userDefinedMetadata, format, weightSpecs, weightData: joined(parts, size) };
}

async function readShard(file, name, read) {
  if (typeof name !== 'string' || /[/\\]/.test(name) || name === '..' || !name) {
    throw new Fault('ArtifactError', `${file} names the weights file '${name}', which is outside of its folder`);
  }
  try {
    return await read(name);
  } catch (error) {
    throw new Fault('ArtifactError', `${file}: the weights file ${name} cannot be read: ${error.message}`);
  }
}

function joined(parts, size) {
  const whole = new Uint8Array(size);
  let from = 0;
  for (const part of parts) {
    whole.set(part, from);
    from += part.length;
  }
  return whole.buffer;
}

const ELEMENT_BYTES = { float32: 4, int32: 4, bool: 1, complex64: 8, float16: 2, uint8: 1, uint16: 2 };

function weightBytes(spec) {
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

/** A widening cast in TF.js keeps the narrower array: a float32 tensor may hold an Int32Array. */
function asType(values, dtype) {
  if (!['float32', 'int32', 'bool'].includes(dtype)) throw new Error(`an output of dtype ${dtype} cannot be read`);
  return values instanceof ARRAYS[dtype] ? values : new ARRAYS[dtype](values);
}

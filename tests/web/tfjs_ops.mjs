/** Runs graph models of TF.js output by output, so that each says what becomes of its own op. Uses the global `tf`. */

const ARRAYS = { float32: Float32Array, int32: Int32Array, bool: Uint8Array };

/** @param {string} backend @returns {Promise<boolean>} whether it starts here */
export async function start(backend) {
  try {
    const started = await tf.setBackend(backend);
    await tf.ready();
    return started && tf.getBackend() === backend;
  } catch {
    return false;
  }
}

/** Names of the kernels that a backend has. @param {string} backend */
export function kernelsOf(backend) {
  return tf.getKernelsForBackend(backend).map((kernel) => kernel.kernelName).sort();
}

/**
 * Each output of a model by itself, in the backend that was started.
 * @param {string | object} source address of model.json, or an IOHandler
 * @param {Record<string, {shape: number[], dtype: string, data: string}>} feeds data in base64
 * @param {string[]} outputs
 * @returns {Promise<Record<string, object>>} `{shape, dtype, data, kernels}` or `{error}`
 */
export async function runModel(source, feeds, outputs) {
  const model = await tf.loadGraphModel(source);
  const tensors = Object.fromEntries(Object.entries(feeds).map(([name, feed]) => [name, tensor(feed)]));
  const found = {};
  for (const output of outputs) found[output] = await runOutput(model, tensors, output);
  model.dispose();
  tf.dispose(tensors);
  return found;
}

async function runOutput(model, tensors, output) {
  let result;
  const kernels = new Set();
  try {
    const profile = await tf.profile(() => (result = model.execute(tensors, output)));
    profile.kernelNames.forEach((name) => kernels.add(name));
    const values = await result.data();
    const array = values instanceof ARRAYS[result.dtype] ? values : new ARRAYS[result.dtype](values);
    return { shape: result.shape, dtype: result.dtype, data: toBase64(array), kernels: [...kernels].sort() };
  } catch (error) {
    return { error: String(error?.message ?? error).slice(0, 500) };
  } finally {
    if (result) tf.dispose(result);
  }
}

function tensor({ shape, dtype, data }) {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  return tf.tensor(new ARRAYS[dtype](bytes.buffer), shape, dtype);
}

function toBase64(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = '';
  for (let from = 0; from < bytes.length; from += 8192) text += String.fromCharCode(...bytes.subarray(from, from + 8192));
  return btoa(text);
}

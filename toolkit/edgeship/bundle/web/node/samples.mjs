/** Samples in files of plain numbers, as the generator writes them. */
import fs from 'node:fs';

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };

/** Inputs of one inference by name. @param {{name: string, dtype: string, shape: number[], file: string}[]} sample */
export function inputsOf(sample) {
  return Object.fromEntries(sample.map(({ name, dtype, shape, file }) => [name, { values: new ARRAYS[dtype](new Uint8Array(fs.readFileSync(file)).buffer), shape }]));
}

/** TF.js with the files of its official converter, as its guide says. */
import * as tf from '@tensorflow/tfjs';
import { setWasmPaths } from '@tensorflow/tfjs-backend-wasm';

export async function start({ folder, shape }) {
  setWasmPaths('/modules/tfjs/');
  await tf.setBackend('wasm');
  await tf.ready();
  const model = await tf.loadGraphModel(`${folder}/model.json`);
  return async (values) => {
    const input = tf.tensor(values, shape);
    const output = model.predict(input);
    const found = await output.data();
    tf.dispose([input, output]);
    return found;
  };
}

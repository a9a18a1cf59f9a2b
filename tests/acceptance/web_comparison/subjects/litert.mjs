/** LiteRT.js, as its guide says. */
import { loadAndCompile, loadLiteRt, Tensor } from '@litertjs/core';

export async function start({ folder, shape }) {
  await loadLiteRt('/modules/litert/');
  const model = await loadAndCompile(`${folder}/model.tflite`, { accelerator: 'wasm' });
  return async (values) => {
    const input = new Tensor(values, shape);
    const [output] = await model.run(input);
    const found = (await output.data()).slice();
    input.delete();
    output.delete();
    return found;
  };
}

/** ONNX Runtime Web, as its guide says. */
import * as ort from 'onnxruntime-web/wasm';

export async function start({ folder, shape }) {
  ort.env.wasm.wasmPaths = '/modules/onnx/';
  const session = await ort.InferenceSession.create(`${folder}/model.onnx`);
  return async (values) => {
    const found = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', values, shape) });
    return Object.values(found)[0].data;
  };
}

/**
 * tfjs_ops.mjs in Node: `node tfjs_ops_node.mjs PACKAGES BACKEND`; reads `{"runs": {name: [folder, feeds, outputs]}}` from
 * standard input and writes `{"kernels": [...], "found": {...}}`, or `{"started": false}`.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const [packages, backend] = process.argv.slice(2);
const require = createRequire(path.join(packages, 'package.json'));
console.log = console.info = console.warn = console.error;

globalThis.tf = { ...require('@tensorflow/tfjs-core'), ...require('@tensorflow/tfjs-converter') };
require(`@tensorflow/tfjs-backend-${backend}`);
const { kernelsOf, runModel } = await import('./tfjs_ops.mjs');

/** A folder with model.json as what `loadGraphModel` loads from. */
function handler(folder) {
  const model = JSON.parse(fs.readFileSync(path.join(folder, 'model.json'), 'utf8'));
  const parts = model.weightsManifest.flatMap((group) => group.paths).map((name) => fs.readFileSync(path.join(folder, name)));
  const data = new Uint8Array(Buffer.concat(parts)).buffer;
  const specs = model.weightsManifest.flatMap((group) => group.weights);
  return { load: async () => ({ ...model, weightSpecs: specs, weightData: data }) };
}

let answer = { started: (await tf.setBackend(backend)) && tf.getBackend() === backend };
if (answer.started) {
  await tf.ready();
  const found = {};
  for (const [name, [folder, feeds, outputs]] of Object.entries(JSON.parse(fs.readFileSync(0, 'utf8')).runs)) {
    found[name] = await runModel(handler(folder), feeds, outputs);
  }
  answer = { ...answer, kernels: kernelsOf(backend), found };
}
fs.writeSync(1, JSON.stringify(answer));

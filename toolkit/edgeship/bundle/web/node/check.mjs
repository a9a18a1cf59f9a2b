/**
 * Runs a finished package in Node: `node check.mjs`, on standard input `{entry, runtimes, samples, out}` as JSON.
 *
 * Outputs are written as plain numbers to `out/RUNTIME-SAMPLE-OUTPUT.bin`; what they are is the answer.
 */
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inputsOf } from './samples.mjs';

async function main({ entry, runtimes, samples, out }) {
  const { load } = await import(pathToFileURL(entry).href);
  const found = {};
  for (const runtime of runtimes) {
    const model = await load({ runtime });
    found[runtime] = [];
    for (const [k, sample] of samples.entries()) {
      const inputs = Object.fromEntries(Object.entries(inputsOf(sample)).map(([name, { values }]) => [name, values]));
      const { outputs } = await model.predict(inputs);
      found[runtime].push(Object.entries(outputs).map(([name, { values, shape }], n) => {
        const file = path.join(out, `${runtime}-${k}-${n}.bin`);
        fs.writeFileSync(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
        return { name, shape, dtype: { Float32Array: 'float32', Int32Array: 'int32', Uint8Array: 'uint8' }[values.constructor.name], file };
      }));
    }
    model.dispose();
  }
  return found;
}

let text = '';
for await (const chunk of process.stdin) text += chunk;
try {
  process.stdout.write(JSON.stringify({ result: await main(JSON.parse(text)) }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: [error?.message ?? error, error?.remedy].filter(Boolean).join(' ') }));
}
process.stdout.end(() => process.exit(0)); // whatever a runtime keeps open

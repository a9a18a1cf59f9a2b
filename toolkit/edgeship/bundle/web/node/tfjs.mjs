/**
 * TF.js as one model needs it: an esbuild plugin that leaves out the operators and kernels that it does not run.
 *
 * The converter's table of operators imports all of TF.js's; a model runs a dozen. Which ones is found by running it with
 * `recording`. What is left out of a bundle fails with an error when it is asked for, never with a wrong number.
 */
import fs from 'node:fs';
import path from 'node:path';

/** Categories of operators of a graph model -> the file that computes them. */
const EXECUTORS = {
  arithmetic: 'arithmetic', basic_math: 'basic_math', control: 'control', convolution: 'convolution', creation: 'creation',
  dynamic: 'dynamic', evaluation: 'evaluation', graph: 'graph', hash_table: 'hash_table', image: 'image', logical: 'logical',
  matrices: 'matrices', normalization: 'normalization', ragged: 'ragged', reduction: 'reduction', slice_join: 'slice_join',
  sparse: 'sparse', spectral: 'spectral', string: 'string', transformation: 'transformation',
};
const EXECUTOR_FILE = /tfjs-converter[\\/]dist[\\/]operations[\\/]executors[\\/](\w+)_executor\.js$/;
const OP_LIST_FILE = /tfjs-converter[\\/]dist[\\/]operations[\\/]op_list[\\/](\w+)\.js$/;
const NOTHING = { contents: 'export default {};', loader: 'js' };

/** The types of nodes in a graph model. @param {{node: {op: string}[]}} topology */
export function typesOf(topology) {
  return new Set(topology.node.map((node) => node.op));
}

/**
 * @param {object} needs
 * @param {string} needs.modules the folder node_modules
 * @param {Set<string>} needs.types of the model's nodes
 * @param {string[] | null} needs.ops functions of TF.js that they call; null: all of `needs.all`, and calls of them and of
 *   kernels are recorded in `globalThis.edgeshipRecord`
 * @param {string[]} [needs.all]
 * @param {string[] | null} needs.kernels of the backend; null: all
 * @param {'wasm' | 'webgl' | 'webgpu'} needs.backend
 */
export function onlyNeeded(needs) {
  const scope = path.join(needs.modules, '@tensorflow');
  return {
    name: 'tfjs',
    setup(build) {
      build.onResolve({ filter: /^@tensorflow\/tfjs-core\/dist\/ops\/ops_for_converter$/ }, () => ({ path: 'ops', namespace: 'tfjs' }));
      build.onResolve({ filter: /^edgeship:kernels$/ }, () => ({ path: 'kernels', namespace: 'tfjs' }));
      build.onLoad({ filter: /^ops$/, namespace: 'tfjs' }, () => ({ contents: opsModule(scope, needs), loader: 'js', resolveDir: scope }));
      build.onLoad({ filter: /^kernels$/, namespace: 'tfjs' }, () => ({ contents: kernelsModule(scope, needs), loader: 'js', resolveDir: scope }));
      build.onLoad({ filter: /tfjs-core[\\/]dist[\\/]platforms[\\/]platform_\w+\.js$/ }, () => NOTHING);
      build.onLoad({ filter: /tfjs-backend-wasm[\\/]wasm-out[\\/]tfjs-backend-wasm-threaded-simd(\.worker)?\.js$/ }, () => ({ contents: 'export default null; export const wasmWorkerContents = "";', loader: 'js' }));
      build.onLoad({ filter: OP_LIST_FILE }, ({ path: file }) => ({ contents: tableModule(file, needs.types), loader: 'js' }));
      build.onLoad({ filter: EXECUTOR_FILE }, ({ path: file }) => (unused(file, needs.types) ? { contents: 'export const executeOp = null;', loader: 'js' } : undefined));
    },
  };
}

/** The rows of a table of operators that a model has. */
function rows(file, types) {
  const text = fs.readFileSync(file, 'utf8');
  const [, list] = /export const json = (\[[\s\S]*?\n\]);/.exec(text) ?? [];
  if (list === undefined) throw new Error(`${file} is not the table of operators that was expected`);
  // A literal in a package that the lock names by hash; its keys are quoted with ' in some files.
  const all = Function(`"use strict"; return ${list}`)();
  return all.filter((row) => types.has(row.tfOpName));
}

function tableModule(file, types) {
  return `export const json = ${JSON.stringify(rows(file, types))};`;
}

function unused(file, types) {
  const category = EXECUTOR_FILE.exec(file)[1];
  if (!(category in EXECUTORS)) return false;
  const table = path.join(path.dirname(file), '..', 'op_list', `${category}.js`);
  return rows(table, types).length === 0;
}

function opsModule(scope, { ops, all }) {
  const file = opsFile(scope);
  if (ops) return `export { ${ops.join(', ')} } from ${JSON.stringify(file)};`;
  const lines = all.map((name) => `export const ${name} = recorded(${JSON.stringify(name)}, edgeshipAll.${name});`);
  return `import * as edgeshipAll from ${JSON.stringify(file)};
    const record = (globalThis.edgeshipRecord ??= { ops: new Set(), kernels: new Set() }).ops;
    function recorded(name, found) {
      if (typeof found === 'function') return (...given) => { record.add(name); return found(...given); };
      if (typeof found !== 'object' || found === null) return found;
      return new Proxy(found, { get: (object, key) => { record.add(name); return object[key]; } });
    }
    ${lines.join('\n')}`;
}

function opsFile(scope) {
  return path.join(scope, 'tfjs-core', 'dist', 'ops', 'ops_for_converter.js');
}

/** Names of all operators that the converter may call. */
export async function namesOf(esbuild, modules) {
  const file = opsFile(path.join(modules, '@tensorflow'));
  const { metafile } = await esbuild.build({ entryPoints: [file], bundle: true, write: false, format: 'esm', platform: 'browser', metafile: true, logLevel: 'silent', nodePaths: [modules] });
  return Object.values(metafile.outputs)[0].exports;
}

/** Registers kernels of a backend, all or those named. */
function kernelsModule(scope, { backend, kernels, ops }) {
  const folder = path.join(scope, `tfjs-backend-${backend}`, 'dist');
  const register = fs.readFileSync(path.join(folder, 'register_all_kernels.js'), 'utf8');
  const known = new Map([...register.matchAll(/import \{ (\w+) \} from '(\.\/kernels\/(\w+))';/g)].map(([, config, file, name]) => [name, [config, file]]));
  const wanted = kernels ?? [...known.keys()];
  const missing = wanted.filter((name) => !known.has(name));
  if (missing.length) throw new Error(`the backend ${backend} of TF.js has no kernel ${missing.join(', ')}`);
  const imports = wanted.map((name) => `import { ${known.get(name)[0]} } from ${JSON.stringify(path.join(folder, `${known.get(name)[1]}.js`))};`);
  const list = `[${wanted.map((name) => known.get(name)[0]).join(', ')}]`;
  if (ops) return `${imports.join('\n')}\nexport const KERNELS = ${list};`;
  return `${imports.join('\n')}
    const record = (globalThis.edgeshipRecord ??= { ops: new Set(), kernels: new Set() }).kernels;
    const recorded = (config) => ({ ...config, kernelFunc: (given) => { record.add(config.kernelName); return config.kernelFunc(given); } });
    export const KERNELS = ${list}.map(recorded);`;
}

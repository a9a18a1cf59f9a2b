/**
 * Builds the scripts of a web package with esbuild: `node build.mjs`, a job as JSON on standard input, the result on standard output.
 *
 * The same job gives the same bytes: no times, no paths, one version of each tool, named by a lock.
 */
import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { inputsOf } from './samples.mjs';
import { namesOf, onlyNeeded, typesOf } from './tfjs.mjs';

/** As old as browsers with module workers, and Node 18. */
const TARGET = ['es2022', 'chrome111', 'firefox114', 'safari16.4', 'node18'];
/** Bundlers of others leave an `import` with these comments as it is; esbuild drops comments, but not in a banner. */
const BANNER = 'const edgeshipImport = (url) => import(/* webpackIgnore: true */ /* @vite-ignore */ url);';
/** What Emscripten's scripts look for Node by, and bundlers of others put something in the place of. */
const NOT_NODE = { process: 'undefined', 'globalThis.process': 'undefined', __filename: 'undefined', __dirname: 'undefined', define: 'undefined', global: 'globalThis' };
const GPU = { 'tfjs-webgl': 'webgl', 'tfjs-webgpu': 'webgpu' };

/**
 * @typedef {object} Job
 * @property {string} modules the folder node_modules of the lock
 * @property {string} sources of TypeScript: src/runtime, src/package
 * @property {string} out an empty folder for the package
 * @property {object} description without `runtimes`
 * @property {string[]} runtimes in the order in which `auto` tries them
 * @property {Record<string, string>} variants of releases, by runtime
 * @property {{folder: string, files: string[]} | null} tfjs model.json first
 * @property {{folder: string, files: string[]} | null} tflite
 * @property {{name: string, dtype: string, shape: number[], file: string}[][]} samples inputs to run the model on
 */

/** @param {Job} job */
async function main(job) {
  const esbuild = createRequire(path.join(job.modules, 'x.js'))('esbuild');
  const builder = new Builder(job, esbuild);
  const needs = job.tfjs ? await builder.needs() : null;
  const builtin = job.runtimes.includes('tfjs-wasm') ? 'tfjs-wasm' : null;
  const runtimes = [];
  for (const name of job.runtimes) runtimes.push({ variant: job.variants[name], ...(await builder.runtime(name, needs)) });
  const description = { ...job.description, runtimes };
  await builder.scripts(description, builtin, needs);
  return { runtimes, ops: needs?.ops ?? [], kernels: needs?.kernels ?? [], packages: builder.included() };
}

class Builder {
  constructor(job, esbuild) {
    this.job = job;
    this.esbuild = esbuild;
    this.modules = new Map();
    this.packages = new Set();
    fs.mkdirSync(path.join(job.out, 'assets'), { recursive: true });
  }

  /** Bundle one entry. @param {object} parts virtual modules: name -> contents */
  async bundle(entry, parts, plugins = [], options = {}) {
    const { outputFiles, metafile } = await this.esbuild.build({
      entryPoints: [path.join(this.job.sources, entry)],
      bundle: true, write: false, format: 'esm', platform: 'browser', target: TARGET, charset: 'utf8', minify: true, legalComments: 'none',
      logLevel: 'silent', absWorkingDir: this.job.sources, nodePaths: [this.job.modules], define: NOT_NODE,
      tsconfigRaw: {}, metafile: true, plugins: [virtual(parts, this.job.sources), ...plugins], ...options,
    });
    for (const file of Object.keys(Object.values(metafile.outputs)[0].inputs)) {
      const name = /node_modules[\\/]((?:@[\w.-]+[\\/])?[\w.-]+)[\\/]/.exec(file)?.[1];
      if (name) this.packages.add(name.replace('\\', '/'));
    }
    return Buffer.from(outputFiles[0].contents);
  }

  /** Functions and kernels of TF.js that the model calls, found by running it on the samples. */
  async needs() {
    const { folder, files } = this.job.tfjs;
    const types = typesOf(JSON.parse(fs.readFileSync(path.join(folder, files[0]), 'utf8')).modelTopology);
    const all = await namesOf(this.esbuild, this.job.modules);
    const plugin = onlyNeeded({ modules: this.job.modules, types, ops: null, all, kernels: null, backend: 'wasm' });
    const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'edgeship-web-'));
    try {
      const file = path.join(scratch, 'probe.mjs');
      fs.writeFileSync(file, await this.bundle('runtime/tfjs_wasm.ts', {}, [plugin], { minify: false }));
      const { RUNTIMES } = await import(pathToFileURL(file).href);
      const engine = await RUNTIMES['tfjs-wasm'].start({ description: this.job.description, model: contents(folder, files), wasm: new Map([['simd', this.wasm('simd')]]) });
      for (const sample of this.job.samples) await engine.infer(inputsOf(sample));
      const { ops, kernels } = globalThis.edgeshipRecord;
      this.packages.clear(); // nothing of this is delivered
      return { types, ops: [...ops].sort(), kernels: [...kernels].sort() };
    } finally {
      fs.rmSync(scratch, { recursive: true, force: true });
    }
  }

  /** Packages of others that are part of what was built. */
  included() {
    return [...this.packages].sort().map((name) => {
      const { version, license, repository, homepage } = JSON.parse(fs.readFileSync(path.join(this.job.modules, name, 'package.json'), 'utf8'));
      const source = typeof repository === 'string' ? repository : repository?.url;
      return { name, version, license: String(license ?? 'not stated'), source: String(source ?? homepage ?? '') };
    });
  }

  wasm(kind) {
    const { simd, plain, relaxed, compat } = { simd: '-simd', plain: '', relaxed: '', compat: '_compat' };
    const tfjs = (suffix) => path.join(this.job.modules, '@tensorflow', 'tfjs-backend-wasm', 'wasm-out', `tfjs-backend-wasm${suffix}.wasm`);
    const litert = (suffix) => path.join(this.job.modules, '@litertjs', 'core', 'wasm', `litert_wasm${suffix}_internal.wasm`);
    const file = { simd: () => tfjs(simd), plain: () => tfjs(plain), relaxed: () => litert(relaxed), compat: () => litert(compat) }[kind]();
    return new Uint8Array(fs.readFileSync(file));
  }

  /** Write content under a name that holds its digest, once. */
  asset(stem, ending, content) {
    const sha256 = crypto.createHash('sha256').update(content).digest('hex');
    const name = `assets/${stem}-${sha256.slice(0, 20)}.${ending}`;
    fs.writeFileSync(path.join(this.job.out, name), content);
    this.modules.set(name, sha256);
    return { path: name, sha256, bytes: content.length };
  }

  model({ folder, files }) {
    return Object.fromEntries(files.map((name) => {
      const [, stem, ending] = /^([\w-]+)\.(json|bin|tflite)$/.exec(name) ?? [];
      if (!stem) throw new Error(`the model has a file ${name}, which no browser takes`);
      return [name, this.asset(stem, ending, fs.readFileSync(path.join(folder, name)))];
    }));
  }

  /** What a runtime needs, written; the plain file of the build is read by all of its runtimes. */
  async runtime(name, needs) {
    const wasmOf = (...kinds) => Object.fromEntries(kinds.map((kind) => [kind, this.asset(kind === 'simd' || kind === 'plain' ? `tfjs-${kind}` : `litert-${kind}`, 'wasm', this.wasm(kind))]));
    if (name === 'tfjs-wasm') return { name, model: this.model(this.job.tfjs), module: null, wasm: wasmOf('simd', 'plain') };
    if (name in GPU) {
      const plugin = onlyNeeded({ modules: this.job.modules, types: needs.types, ops: needs.ops, kernels: null, backend: GPU[name] });
      const script = await this.bundle(`runtime/tfjs_${GPU[name]}.ts`, {}, [plugin]);
      return { name, model: this.model(this.job.tfjs), module: this.asset(name, 'js', script), wasm: {} };
    }
    const script = await this.bundle('runtime/litert_any.ts', {}, [litert(this.job.modules, this.job.sources)]);
    return { name, model: this.model(this.job.tflite), module: this.asset('litert', 'js', script), wasm: wasmOf('relaxed', 'compat') };
  }

  async scripts(description, builtin, needs) {
    const inside = builtin ? `export { RUNTIMES } from ${JSON.stringify(path.join(this.job.sources, 'runtime', 'tfjs_wasm.ts'))};` : 'export const RUNTIMES = {};';
    const json = `export default ${JSON.stringify(description)};`;
    const names = [...this.modules.keys(), 'decoder.js', 'worker.js'].sort();
    // Names of files are ours: letters, digits, - and one dot.
    const addresses = `export const ADDRESSES = {${names.map((name) => `${JSON.stringify(name)}: () => new URL(${JSON.stringify(`./${name}`)}, import.meta.url).href`).join(', ')}};`;
    const parts = { builtin: inside, description: json, addresses };
    const trimmed = builtin ? [onlyNeeded({ modules: this.job.modules, ...needs, backend: 'wasm' })] : [];
    const banner = { js: BANNER };
    const write = async (name, entry, plugins, options) => fs.writeFileSync(path.join(this.job.out, name), await this.bundle(entry, parts, plugins, options));
    await write('worker.js', 'runtime/worker.ts', trimmed, { banner });
    await write('index.js', 'package/index.ts', [], { banner, minifyWhitespace: true });
    await write('node.js', 'package/node.ts', [], { platform: 'node', define: {} });
    await write('node-worker.js', 'package/node_worker.ts', [], { platform: 'node', define: {} });
    await write('updates.js', 'package/updates.ts', [], { define: {} });
    await write('decoder.js', 'package/decoder.ts', [], {});
    await write('sw.js', 'package/sw.ts', [], { format: 'iife', minify: false });
  }
}

/** Modules that exist in memory only. */
function virtual(parts, resolveDir) {
  return {
    name: 'virtual',
    setup(build) {
      build.onResolve({ filter: /^edgeship:(builtin|description|addresses)$/ }, ({ path: name }) => ({ path: name.slice(9), namespace: 'edgeship' }));
      build.onLoad({ filter: /.*/, namespace: 'edgeship' }, ({ path: name }) => ({ contents: parts[name], loader: 'js', resolveDir }));
    },
  };
}

/** LiteRT.js with our own loader. */
function litert(modules, sources) {
  const glue = (suffix) => path.join(modules, '@litertjs', 'core', 'wasm', `litert_wasm${suffix}_internal.js`);
  return {
    name: 'litert',
    setup(build) {
      build.onResolve({ filter: /^@litertjs\/wasm-utils$/ }, () => ({ path: path.join(sources, 'runtime', 'litert_loader.ts') }));
      build.onResolve({ filter: /^node:/ }, ({ path: name }) => ({ path: name, namespace: 'nothing' })); // of branches for Node
      build.onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'export default {};' }));
      build.onResolve({ filter: /^edgeship:litert-(relaxed|compat)$/ }, ({ path: name }) => ({ path: glue(name.endsWith('compat') ? '_compat' : '') }));
    },
  };
}

function contents(folder, files) {
  return new Map(files.map((name) => [name, new Uint8Array(fs.readFileSync(path.join(folder, name)))]));
}

let text = '';
for await (const chunk of process.stdin) text += chunk;
try {
  process.stdout.write(JSON.stringify({ result: await main(JSON.parse(text)) }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: String(error?.message ?? error) }));
}

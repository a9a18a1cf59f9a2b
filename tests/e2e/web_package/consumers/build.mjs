/** Builds app.ts of this folder with one bundler: `node build.mjs vite|webpack|esbuild`; the site is in `dist`. */
import fs from 'node:fs';
import path from 'node:path';

const here = import.meta.dirname;
const html = (script) => `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>app</title></head><body><script type="module" src="${script}"></script></body></html>\n`;

const BUILDS = {
  vite: async () => {
    const { build } = await import('vite');
    fs.writeFileSync(path.join(here, 'index.html'), html('/app.ts'));
    await build({ root: here, configFile: false, logLevel: 'warn', base: './', build: { outDir: 'dist' } });
  },
  webpack: async () => {
    const { default: webpack } = await import('webpack');
    const { default: ts } = await import('typescript');
    const { outputText } = ts.transpileModule(fs.readFileSync(path.join(here, 'app.ts'), 'utf8'), { compilerOptions: { target: 'ES2022', module: 'ES2022' } });
    fs.writeFileSync(path.join(here, 'app.js'), outputText);
    const stats = await new Promise((resolve, reject) => webpack({ mode: 'production', context: here, entry: './app.js', output: { path: path.join(here, 'dist'), filename: 'app.js' }, performance: { hints: false } }, (error, found) => (error ? reject(error) : resolve(found))));
    const { errors, warnings } = stats.toJson();
    if (errors.length + warnings.length) throw new Error([...errors, ...warnings].map(({ message }) => message).join('\n'));
    fs.writeFileSync(path.join(here, 'dist', 'index.html'), html('app.js'));
  },
  esbuild: async () => {
    const { build } = await import('esbuild');
    await build({ entryPoints: [path.join(here, 'app.ts')], bundle: true, minify: true, format: 'esm', target: 'es2022', outfile: path.join(here, 'dist', 'app.js'), logLevel: 'warning' });
    // As the README of a package says.
    const folder = fs.realpathSync(path.join(here, 'node_modules', 'digits'));
    fs.copyFileSync(path.join(folder, 'worker.js'), path.join(here, 'dist', 'worker.js'));
    fs.cpSync(path.join(folder, 'assets'), path.join(here, 'dist', 'assets'), { recursive: true });
    fs.writeFileSync(path.join(here, 'dist', 'index.html'), html('app.js'));
  },
};

await BUILDS[process.argv[2]]();

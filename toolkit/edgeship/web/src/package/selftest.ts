/** Whether a release may take the place of the package's own files: it is for this package, and computes what it did when it was made. */
import type { Description, Tensor, Values } from "../runtime/description.ts";
import { isModelError, type ErrorCode } from "../runtime/errors.ts";
import { UnavailableError, type Manifest, type Release } from "../updates/index.ts";
import { readArray } from "./npy.ts";
import type { Candidate, Home, Tried } from "./seam.ts";

/** What says nothing about a release. */
const FOR_NOW: readonly ErrorCode[] = ["not-found", "network", "truncated", "wrong-hash", "wrong-type", "worker-blocked", "unsupported-runtime"];
/** How far beyond 0 to 1 rounding takes a probability of a quantized model; as in `edgeship.bundle.web.description`. */
const SLACK = 0.02;
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };

export const candidate = ({ version, variant, manifest, files }: Release): Candidate => ({ version, variant, entry: manifest.entry, files });

/**
 * Runs golden samples of a release in the package.
 *
 * @throws Error where outputs differ, or the release is for another package; UnavailableError where it could not be tried
 */
export async function selfTest(home: Home, release: Release, signal: AbortSignal): Promise<void> {
  checkFits(home.description, release.manifest);
  const { inputs, outputs, samples } = release.manifest.golden;
  const given = arrays(release, inputs);
  const expected = arrays(release, outputs);
  const all = Array.from({ length: samples }, (_, k) =>
    Object.fromEntries(home.description.inputs.map(({ name, dtype }) => [name, row(given.get(name), k, dtype)])),
  );
  compare(release.manifest, expected, await tried(home, release, all, signal));
}

async function tried(home: Home, release: Release, samples: Parameters<Home["attempt"]>[1], signal: AbortSignal): Promise<Tried> {
  try {
    return await home.attempt(candidate(release), samples, signal);
  } catch (error) {
    if (isModelError(error) && FOR_NOW.includes(error.code)) throw new UnavailableError(error.message, error.remedy, { cause: error });
    throw error;
  }
}

/** A line promises it; a page may name the line of another model. */
function checkFits({ inputs, outputs, labels, scoring }: Description, manifest: Manifest): void {
  const spec = ({ name, shape }: { name: string; shape: readonly (number | null)[] }): string => `${name} [${shape.slice(1).map((size) => size ?? "any").join(", ")}]`;
  const said = (tensors: readonly { name: string; shape: readonly (number | null)[] }[]): string => tensors.map(spec).sort().join("; ");
  same("inputs", said(manifest.inputs), said(inputs));
  same("outputs", said(manifest.outputs), said(outputs));
  if (labels.length) same("labels", JSON.stringify(manifest.labels), JSON.stringify(labels));
  for (const { name, dtype, image } of inputs) {
    const done = manifest.inputs.find((each) => each.name === name)?.preprocessing;
    if (image === null || dtype !== "float32") continue;
    same("preprocessing", JSON.stringify([done?.scale, done?.mean, done?.std]), JSON.stringify([image.scale, image.mean, image.std]));
    if (image.channels === "BGR" || done?.channels === "BGR") same("channels", String(done?.channels), image.channels);
  }
  const range = manifest.outputs.find((each) => each.name === outputs[0]?.name)?.range;
  if (!labels.length || !range) return;
  const [low = 0, high = 1] = range;
  same("scores", String(low >= -SLACK && high <= 1 + SLACK), String(scoring !== "softmax"));
}

function same(what: string, found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`it is for another package: its ${what} are ${found.slice(0, 200)}, not ${wanted.slice(0, 200)}`);
}

function arrays(release: Release, names: ReadonlyMap<string, string>): Map<string, Tensor> {
  return new Map([...names].map(([tensor, file]) => [tensor, readArray(release.files.get(file) ?? new Uint8Array())]));
}

/** One sample, as a batch of 1. */
function row(all: Tensor | undefined, at: number, dtype: keyof typeof ARRAYS): Tensor {
  if (all === undefined) throw new Error("a golden input is missing");
  const [, ...shape] = all.shape;
  const size = shape.reduce((product, each) => product * each, 1);
  const values: Values = all.values.slice(at * size, (at + 1) * size);
  return { values: values instanceof ARRAYS[dtype] ? values : ARRAYS[dtype].from(values), shape: [1, ...shape] };
}

function compare({ golden, format }: Manifest, expected: ReadonlyMap<string, Tensor>, { runtime, outputs }: Tried): void {
  // TF.js computes the same in each WebAssembly; LiteRT's kernels differ from those of processors.
  const own = format === "tfjs" ? golden.tolerances.find((each) => each.runtime === runtime) : undefined;
  const tolerance = own ?? golden.tolerances.find((each) => each.runtime === "*");
  for (const [name, wanted] of expected) {
    const found = outputs.map((sample) => sample[name]);
    const size = wanted.values.length / golden.samples;
    const limit = tolerance?.max_abs.get(name) ?? 0;
    let agreeing = 0;
    for (const [k, one] of found.entries()) {
      const right = wanted.values.subarray(k * size, (k + 1) * size);
      if (one?.values.length !== size) throw new Error(`it gives no output '${name}' of ${size} values`);
      const most = distance(right, one.values);
      if (!(most <= limit)) throw new Error(`'${name}' differs by ${most} from its golden output, ${limit} is allowed`);
      if (agrees(right, one.values)) agreeing++;
    }
    const share = tolerance?.agreement.get(name) ?? 0;
    if (agreeing < share * golden.samples) throw new Error(`'${name}' agrees for ${agreeing} of ${golden.samples} golden samples`);
  }
}

/** The largest difference; NaN where there is one. */
function distance(wanted: Values, found: Values): number {
  let most = 0;
  for (let i = 0; i < wanted.length; i++) most = Math.max(most, Math.abs((wanted[i] ?? 0) - (found[i] ?? 0)));
  return most;
}

/** Numbers that are counted are the same; of scores the largest is at the same place. */
function agrees(wanted: Values, found: Values): boolean {
  if (!(wanted instanceof Float32Array)) return wanted.every((value, k) => value === found[k]);
  return wanted.indexOf(Math.max(...wanted)) === found.indexOf(Math.max(...found));
}

import type { Bytes } from "./bytes.ts";
import { parse } from "./json.ts";
import { version } from "./releases.ts";
import { integer, list, map, nullable, number, object, oneOf, text, unfit, type Shape } from "./shape.ts";

/** Largest manifest, and files of a release, in bytes. */
export const MANIFEST_BYTES = 4 << 20;
const MOST_BYTES = 2 ** 31;

const plain = text();
const name = text(/^[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)*$/, 1024);
const digest = text(/^[0-9a-f]{64}$/);
const size = integer(0, MOST_BYTES);
const dtype = text(/^[a-z0-9_]{1,32}$/);
const pair = nullable(list(number(), 2, 2));
const positive = number(Number.MIN_VALUE);
const texts = map(plain);
const card = text(undefined, 10_000);

const stored = object({ name, encoding: oneOf("br", "zstd"), sha256: digest, size_bytes: size });
const file = object({ name, sha256: digest, size_bytes: size, stored: nullable(stored) });
/** A file of a release; where `stored` is not null only that lies in the repository, and decodes to it. */
export type File = Shape<typeof file>;

const tensor = {
  name: plain,
  shape: list(nullable(integer()), 16),
  dtype,
  quantization: nullable(object({ scale: positive, zero_point: integer(-Number.MAX_SAFE_INTEGER) })),
  range: pair,
};
const preprocessing = object({
  scale: nullable(positive),
  resize: oneOf("bilinear", null),
  channels: oneOf("grey", "RGB", "RGBA", "BGR", null),
  mean: list(number(), 65_536),
  std: list(positive, 65_536),
  value_range: pair,
  given_dtype: dtype,
  steps: list(oneOf("quantize"), 1),
});
const drop = object({ value: number(), interval: pair, unit: plain, limit: number(), n: integer() });
const metric = object({
  name: plain,
  direction: oneOf("maximize", "minimize", null),
  value: nullable(number()),
  baseline: nullable(number()),
  drop: nullable(drop),
});
const latency = object({
  target: plain,
  provenance: oneOf("measured", "emulated", "estimated"),
  runtime: plain,
  threads: integer(),
  median_ms: number(0),
  interval_ms: nullable(list(number(0), 2, 2)),
  p90_ms: number(0),
  n: integer(),
  device: texts,
});
const lineage = object({
  parent: nullable(digest),
  source: object({ name: plain, kind: plain, sha256: digest, parameters: integer() }),
  dataset: nullable(object({ name: plain, task: plain, sha256: digest, counts: map(integer()) })),
  recipe: map((value) => value),
  report_sha256: digest,
  made_by: texts,
  environment: texts,
});
const tolerance = object({ runtime: plain, max_abs: map(number(0)), agreement: map(number(0, 1)) });

const shape = object({
  schema: oneOf("edgeship.manifest/1"),
  kind: oneOf("device", "web"),
  name: plain,
  version: nullable(version),
  created: text(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/, 64),
  artifact: plain,
  format: oneOf("tflite", "onnx", "tfjs"),
  variant: plain,
  entry: name,
  files: list(file, 256, 1),
  runtime: object({
    name: oneOf("litert", "onnxruntime", "tfjs"),
    minimum: text(/^\d{1,5}(\.\d{1,5}){1,3}$/),
    ops: list(object({ name: plain, version: nullable(integer()) }), 4096),
  }),
  budget: object({ latency_ms: nullable(positive), memory_bytes: nullable(integer(1)) }),
  inputs: list(object({ ...tensor, preprocessing }), Infinity, 1),
  outputs: list(object(tensor), Infinity, 1),
  labels: list(plain),
  golden: object({ samples: integer(1), inputs: map(name), outputs: map(name), tolerances: list(tolerance, Infinity, 1) }),
  metric: nullable(metric),
  latency: list(latency),
  card: nullable(object({ description: card, license: card, intended_use: card, limitations: card })),
  lineage,
});
/** Schema `edgeship.manifest/1` (docs/updates/manifest.md). */
export type Manifest = Shape<typeof shape>;

/** What runs a format, and whom it is for. */
const HOMES = { tflite: "device litert", onnx: "device onnxruntime", tfjs: "web tfjs" };

/** Read a manifest that may come from anywhere. @throws RefusedError naming the place that is wrong. */
export function readManifest(bytes: Bytes, at = "manifest.json"): Manifest {
  const found = shape(parse(bytes, at), at);
  const { files, golden, kind, format, runtime, entry } = found;
  if (HOMES[format] !== `${kind} ${runtime.name}`) throw unfit(`${at}.format`, "of this kind and runtime");
  const names = ["manifest.json", ...files.flatMap((each) => [each.name, ...(each.stored ? [each.stored.name] : [])])];
  // Some file systems take names in any case for one.
  if (new Set(names.map((each) => each.toLowerCase())).size !== names.length) throw unfit(`${at}.files`, "each once");
  if (bytesOf(found) > MOST_BYTES) throw unfit(`${at}.files`, `at most ${MOST_BYTES} bytes`);
  for (const each of [entry, ...golden.inputs.values(), ...golden.outputs.values()]) {
    if (!files.some((known) => known.name === each)) throw unfit(each, "one of the files");
  }
  checkTensors(at, found);
  return found;
}

/** Bytes of all files as they are used. */
export const bytesOf = ({ files }: Manifest): number => files.reduce((sum, each) => sum + each.size_bytes, 0);

/** Names of the files that only the self-test needs. */
export const goldenNames = ({ golden }: Manifest): ReadonlySet<string> =>
  new Set([...golden.inputs.values(), ...golden.outputs.values()]);

function checkTensors(at: string, { inputs, outputs, golden }: Manifest): void {
  const made = outputs.map((each) => each.name);
  for (const [names, given] of [[inputs.map((each) => each.name), golden.inputs], [made, golden.outputs]] as const) {
    if (new Set(names).size !== names.length || !same(names, given)) throw unfit(`${at}.golden`, "a file for each tensor");
  }
  const limits = golden.tolerances;
  const fits = limits.every((each) => same(made, each.max_abs) && [...each.agreement.keys()].every((key) => made.includes(key)));
  if (!fits || !limits.some((each) => each.runtime === "*")) throw unfit(`${at}.golden.tolerances`, "of each output");
}

const same = (names: readonly string[], given: ReadonlyMap<string, unknown>): boolean =>
  names.length === given.size && names.every((each) => given.has(each));

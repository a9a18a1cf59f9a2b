/** What callers give, as the session takes it; all that is wrong with it is said here. */
import type { ImageSource, PixelData } from "../public.ts";
import type { Description, InputSpec, Values } from "../runtime/description.ts";
import { ModelError, text } from "../runtime/errors.ts";
import type { Given } from "../runtime/session.ts";

export type ArraySource = Values | readonly number[];
export type Input = ImageSource | ArraySource;

/** Inputs for the session, and what may move to it instead of being copied. */
export interface Taken {
  readonly inputs: Record<string, Given>;
  readonly transfer: ImageBitmap[];
}

/** @throws ModelError input, naming what was given and what is allowed */
export async function take(given: Input | Readonly<Record<string, Input>>, { inputs: specs }: Description): Promise<Taken> {
  const named = byName(given, specs);
  const taken: Taken = { inputs: {}, transfer: [] };
  for (const spec of specs) {
    const input: unknown = named[spec.name];
    if (input === undefined) throw wrong(`the input '${spec.name}' is missing`, specs);
    if (!isObject(input)) throw wrong(`'${spec.name}' was given ${kind(input)}`, [spec]);
    taken.inputs[spec.name] = isArray(input) ? { tensor: { values: values(input, spec), shape: shapeOf(input, spec) } } : await image(input as ImageSource, spec, taken.transfer);
  }
  return taken;
}

function byName(given: Input | Readonly<Record<string, Input>>, specs: readonly InputSpec[]): Readonly<Record<string, Input>> {
  const [first] = specs;
  if (!isObject(given)) throw wrong(`${kind(given)} was given`, specs);
  if (isArray(given) || isImage(given)) {
    if (first === undefined || specs.length > 1) throw wrong("one input was given", specs);
    return { [first.name]: given };
  }
  const unknown = Object.keys(given).filter((name) => !specs.some((spec) => spec.name === name));
  if (unknown.length) throw wrong(`the model has no input ${unknown.map((name) => `'${name}'`).join(", ")}`, specs);
  return given;
}

function wrong(what: string, specs: readonly InputSpec[]): ModelError {
  const takes = specs.map((spec) => `${spec.name}: ${words(spec)}`).join("; ");
  return new ModelError("input", what, `The model takes ${takes}.`);
}

function words(spec: InputSpec): string {
  const array = `${spec.dtype} [${spec.shape.map((size) => size ?? "any").join(", ")}]`;
  return spec.image === null ? array : `an image, or ${array}`;
}

function isObject(given: unknown): given is object {
  return typeof given === "object" && given !== null;
}

/** What is no object, in words. */
function kind(given: unknown): string {
  return given === null ? "null" : `a ${typeof given}`;
}

function isArray(given: object): given is ArraySource {
  return ArrayBuffer.isView(given) || Array.isArray(given);
}

function isImage(given: object): given is ImageSource {
  if ("data" in given && "width" in given && "height" in given) return typeof (given as PixelData).width === "number";
  const kinds = ["ImageBitmap", "HTMLImageElement", "HTMLCanvasElement", "OffscreenCanvas", "HTMLVideoElement", "Blob"];
  return kinds.some((kind) => {
    const known = (globalThis as Record<string, unknown>)[kind] as (new () => object) | undefined;
    return known !== undefined && given instanceof known;
  });
}

const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, bool: Uint8Array };

function values(given: ArraySource, spec: InputSpec): Values {
  const wanted = ARRAYS[spec.dtype];
  // Of a part of a buffer the whole would go to the worker.
  if (given instanceof wanted) return given.byteLength < given.buffer.byteLength ? given.slice() : given;
  if (Array.isArray(given)) return converted(given as number[], wanted.from(given as number[]), spec);
  throw wrong(`'${spec.name}' was given a ${given.constructor.name}`, [spec]);
}

/** Numbers of a list as they are in the model's type: rounding of fractions is expected of float32 only. */
function converted(given: readonly number[], found: Values, spec: InputSpec): Values {
  const lost = given.findIndex((value, k) => (spec.dtype === "float32" ? Number.isNaN(found[k]) : found[k] !== value));
  if (lost < 0) return found;
  throw wrong(`'${spec.name}' was given ${String(given[lost])}, which is no ${spec.dtype}`, [spec]);
}

/** What is free follows from the number of values: the batch, or with a batch of 1 one axis inside of the sample. */
function shapeOf(given: ArraySource, spec: InputSpec): readonly number[] {
  const inner = spec.shape.slice(1).includes(null);
  const shape = spec.shape.map((size, axis) => size ?? (axis === 0 && inner ? 1 : null));
  const known = shape.reduce<number>((product, size) => product * (size ?? 1), 1);
  const free = shape.flatMap((size, axis) => (size === null ? [axis] : []));
  const fits = free.length === 1 ? given.length > 0 && given.length % known === 0 : free.length === 0 && given.length === known;
  if (!fits) {
    const count = free.length ? `a multiple of ${known}` : String(known);
    throw new ModelError("input", `'${spec.name}' was given ${given.length} values`, `One sample has ${count}: [${spec.shape.map((size) => size ?? "any").join(", ")}].`);
  }
  return shape.map((size) => size ?? given.length / known);
}

async function image(given: ImageSource, spec: InputSpec, transfer: ImageBitmap[]): Promise<Given> {
  if (spec.image === null) throw wrong(`'${spec.name}' takes no images`, [spec]);
  if ("data" in given) {
    const { data, width, height } = given;
    // By its name: of another frame it is no instance of ours.
    if (!/ Uint8(Clamped)?Array/.test(Object.prototype.toString.call(data))) throw wrong(`'${spec.name}' was given pixels that are no bytes`, [spec]);
    if (!(width > 0 && height > 0) || data.length !== width * height * 4) {
      throw new ModelError("input", `pixels of ${width} x ${height} were given as ${data.length} bytes`, "Give four bytes each: red, green, blue, alpha.");
    }
    return { pixels: { data, width, height } };
  }
  if (typeof createImageBitmap === "undefined") throw new ModelError("input", "images cannot be read here", "Give { data, width, height } with four bytes for each pixel.");
  try {
    const bitmap = await createImageBitmap(given, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    transfer.push(bitmap);
    return { bitmap };
  } catch (error) {
    throw new ModelError("input", `the image cannot be read: ${text(error)}`, "Give an image that has loaded and is not broken.", { cause: error });
  }
}

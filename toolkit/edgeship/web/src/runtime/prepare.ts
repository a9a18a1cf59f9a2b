/** Images to inputs, number by number as `edgeship.preprocessing` and its reader of images do it in Python. */
import type { Dtype, ImagePreparation, Pixels, Values } from "./description.ts";
import { resize } from "./resize.ts";

/** Bytes of one image in the channels that a model takes, resized; BGR is still RGB here. */
export function resized(pixels: Pixels, image: ImagePreparation): Uint8Array {
  const size = [image.height, image.width] as const;
  const { width, height } = pixels;
  if (image.channels === "grey") return resize(grey(pixels.data), [height, width, 1], size);
  if (image.channels !== "RGBA") return resize(colors(pixels.data), [height, width, 3], size);
  if (width === image.width && height === image.height) return new Uint8Array(pixels.data);
  return straight(resize(premultiplied(pixels.data), [height, width, 4], size));
}

/** An input of one image: (pixel * scale - mean) / std, each step rounded to float32. */
export function prepare(pixels: Pixels, image: ImagePreparation, dtype: Dtype): Values {
  const bytes = resized(pixels, image);
  const channels = bytes.length / (image.height * image.width);
  const swap = image.channels === "BGR";
  if (dtype !== "float32") {
    const integers = ordered(bytes, channels, swap);
    return dtype === "int32" ? Int32Array.from(integers) : integers;
  }
  const scale = Math.fround(image.scale);
  const mean = Float32Array.from(image.mean);
  const std = Float32Array.from(image.std);
  const tables = Array.from({ length: channels }, (_, channel) => table(scale, at(mean, channel), at(std, channel)));
  const found = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const channel = i % channels;
    const byte = bytes[swap ? i - channel + channels - 1 - channel : i] ?? 0;
    found[i] = tables[channel]?.[byte] ?? 0;
  }
  return found;
}

/** What each of the 256 bytes becomes. */
function table(scale: number, mean: number | null, std: number | null): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const scaled = Math.fround(byte * scale);
    const centered = mean === null ? scaled : Math.fround(scaled - mean);
    return std === null ? centered : centered / std;
  });
}

function at(numbers: Float32Array, channel: number): number | null {
  return (numbers.length === 1 ? numbers[0] : numbers[channel]) ?? null;
}

function ordered(bytes: Uint8Array, channels: number, swap: boolean): Uint8Array {
  if (!swap) return bytes;
  return bytes.map((_, i) => bytes[i - (i % channels) + channels - 1 - (i % channels)] ?? 0);
}

function colors(data: ArrayLike<number>): Uint8Array {
  const found = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const alpha = data[from + 3] ?? 0;
    found[to++] = onWhite(data[from] ?? 0, alpha);
    found[to++] = onWhite(data[from + 1] ?? 0, alpha);
    found[to++] = onWhite(data[from + 2] ?? 0, alpha);
  }
  return found;
}

/** ITU-R 601-2 luma, in the fixed point numbers of Pillow's `convert("L")`. */
function grey(data: ArrayLike<number>): Uint8Array {
  return Uint8Array.from({ length: data.length / 4 }, (_, i) => {
    const alpha = data[4 * i + 3] ?? 0;
    const [red, green, blue] = [onWhite(data[4 * i] ?? 0, alpha), onWhite(data[4 * i + 1] ?? 0, alpha), onWhite(data[4 * i + 2] ?? 0, alpha)];
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
  });
}

/** What is transparent is white, as a picture looks on paper; rounded as Pillow does. */
function onWhite(value: number, alpha: number): number {
  const sum = 255 * (255 - alpha) + value * alpha + 128;
  return ((sum >> 8) + sum) >> 8;
}

/** Pillow resizes colors weighted by their alpha. */
function premultiplied(data: ArrayLike<number>): Uint8Array {
  return Uint8Array.from({ length: data.length }, (_, i) => {
    const value = data[i] ?? 0;
    if (i % 4 === 3) return value;
    const product = value * (data[i - (i % 4) + 3] ?? 0) + 128;
    return ((product >> 8) + product) >> 8;
  });
}

function straight(data: Uint8Array): Uint8Array {
  return data.map((value, i) => {
    const alpha = data[i - (i % 4) + 3] ?? 0;
    if (i % 4 === 3 || alpha === 255 || alpha === 0) return value;
    return Math.min(255, Math.trunc((255 * value) / alpha));
  });
}

import type { Bytes } from "./bytes.ts";
import { RefusedError, UnavailableError } from "./errors.ts";

/** Compressed forms that a repository has: raw deflate in patches, brotli and zstd for files. */
export type Encoding = "deflate-raw" | "br" | "zstd";

const FORMATS = { "deflate-raw": "deflate-raw", br: "brotli", zstd: "zstd" };
const IN_NODE = { "deflate-raw": "inflateRawSync", br: "brotliDecompressSync", zstd: "zstdDecompressSync" };

type Sync = (packed: Bytes, options: { maxOutputLength: number }) => Uint8Array;

function stream(encoding: Encoding): TransformStream<Uint8Array, Uint8Array> | undefined {
  try {
    return new DecompressionStream(FORMATS[encoding] as CompressionFormat) as TransformStream<Uint8Array, Uint8Array>;
  } catch {
    return undefined;
  }
}

/** Node's own way, which had brotli and zstd before its DecompressionStream; found without an import, for bundlers. */
function inNode(encoding: Encoding): Sync | undefined {
  const { process } = globalThis as { process?: { getBuiltinModule?: (name: string) => Record<string, unknown> } };
  return process?.getBuiltinModule?.("node:zlib")[IN_NODE[encoding]] as Sync | undefined;
}

/** Whether it can be decoded here: zstd always, by our own decoder where there is no other; brotli in some browsers. */
export const canUnpack = (encoding: Encoding): boolean => encoding === "zstd" || !!(stream(encoding) ?? inNode(encoding));

/**
 * Decode, and never take more memory than was announced.
 *
 * @param size bytes of the result.
 * @throws RefusedError where the content is broken, shorter or longer.
 * @throws UnavailableError where the browser does not know brotli.
 */
export async function unpack(packed: Bytes, encoding: Encoding, size: number): Promise<Bytes> {
  if (!canUnpack(encoding)) throw new UnavailableError(`this browser does not decode ${encoding}`, "Publish as zstd.");
  const [decoder, sync] = [stream(encoding), inNode(encoding)];
  const ours = !decoder && !sync ? await import("./zstd.ts") : undefined; // loaded by who needs it
  const made = new Uint8Array(size);
  try {
    let at = 0;
    const take = (piece: Uint8Array): void => {
      made.set(piece, at); // a RangeError where there is more
      at += piece.length;
    };
    if (decoder) await drain(packed, decoder, take);
    else if (sync) take(sync(packed, { maxOutputLength: size + 1 }));
    else if (ours) take(ours.unzstd(packed, size));
    if (at === size) return made;
    throw new RangeError(`there are ${at}`);
  } catch (error) {
    throw new RefusedError(`it is no ${encoding} of ${size} bytes: ${String(error)}`, undefined, { cause: error });
  }
}

async function drain(
  packed: Bytes,
  decoder: TransformStream<Uint8Array, Uint8Array>,
  take: (piece: Uint8Array) => void,
): Promise<void> {
  const reader = new Blob([packed]).stream().pipeThrough(decoder).getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) take(next.value);
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

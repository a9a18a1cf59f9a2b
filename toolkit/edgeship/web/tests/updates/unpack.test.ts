import { readFileSync } from "node:fs";
import { brotliCompressSync, deflateRawSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { encode, sha256, type Bytes } from "../../src/updates/bytes.ts";
import { RefusedError } from "../../src/updates/errors.ts";
import { canUnpack, unpack, type Encoding } from "../../src/updates/unpack.ts";
import { unzstd } from "../../src/updates/zstd.ts";
import { bytesOf } from "./vectors.ts";

interface Packed {
  name: string;
  size: number;
  sha256: string;
  packed: string;
}

/** Made by libzstd, by three levels; one of them with a checksum. */
const made = JSON.parse(readFileSync(new URL("zstd.json", import.meta.url), "utf-8")) as Packed[];

describe("zstd", () => {
  test.each(made)("$name", async ({ size, packed, ...expected }) => {
    expect(await sha256(unzstd(bytesOf(packed), size))).toBe(expected.sha256);
    expect(() => unzstd(bytesOf(packed), size + 1)).toThrow();
    if (size) expect(() => unzstd(bytesOf(packed), size - 1)).toThrow();
  });

  test("what is cut off, has something behind it, or is damaged never gives the file", async () => {
    for (const { size, packed } of made.filter((each) => each.size > 1000)) {
      const bytes = bytesOf(packed);
      for (let i = 1; i <= 20; i++) {
        const at = Math.floor((i * bytes.length) / 21);
        const flipped = bytes.slice();
        flipped[at] = (flipped[at] ?? 0) ^ (1 << i % 8);
        for (const broken of [bytes.slice(0, at), new Uint8Array([...bytes, i]), flipped]) {
          const found = await unpack(broken, "zstd", size).catch((error: unknown) => error);
          // A checksum may be what is damaged, which is left to the SHA-256.
          if (broken !== flipped || found instanceof Error) expect(found).toBeInstanceOf(RefusedError);
          else expect((found as Bytes).length).toBe(size);
        }
      }
    }
  });
});

describe("all forms", () => {
  const plain = encode("weights of today ".repeat(500));
  const forms: [Encoding, Bytes][] = [
    ["deflate-raw", new Uint8Array(deflateRawSync(plain))],
    ["br", new Uint8Array(brotliCompressSync(plain))],
  ];
  test.each(forms)("%s", async (encoding, packed) => {
    expect(canUnpack(encoding)).toBe(true);
    expect(await unpack(packed, encoding, plain.length)).toEqual(plain);
    for (const size of [plain.length - 1, plain.length + 1, 0]) {
      await expect(unpack(packed, encoding, size)).rejects.toBeInstanceOf(RefusedError);
    }
    await expect(unpack(packed.slice(0, -3), encoding, plain.length)).rejects.toBeInstanceOf(RefusedError);
  });
});

import { readFileSync } from "node:fs";
import type { Bytes } from "../../src/updates/bytes.ts";

/** What is in base64 in the vectors. */
export const bytesOf = (text: string): Bytes => new Uint8Array(Buffer.from(text, "base64"));

/** A file of the vectors that all clients are held to. */
export const vectors = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../../../../tests/vectors/${name}.json`, import.meta.url), "utf-8"));

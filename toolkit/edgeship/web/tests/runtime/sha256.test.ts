import { createHash, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { sha256, sha256Plain } from "../../src/runtime/sha256.ts";

test.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003])("of %i bytes is that of OpenSSL", async (length) => {
  const content = Uint8Array.from(randomBytes(length));
  const expected = createHash("sha256").update(content).digest("hex");
  expect(sha256Plain(content)).toBe(expected);
  expect(await sha256(content)).toBe(expected);
});

import { describe, expect, test } from "vitest";
import { decode } from "../../src/updates/delta.ts";
import { PatchError } from "../../src/updates/errors.ts";
import { bytesOf, vectors } from "./vectors.ts";

interface Vector {
  name: string;
  old: string;
  patch: string;
}
const { good, bad } = vectors("patches") as { good: (Vector & { new: string })[]; bad: Vector[] };

describe("patches of the vectors", () => {
  test.each(good)("$name", async (vector) => {
    const made = await decode(bytesOf(vector.old), bytesOf(vector.patch));
    expect(Buffer.from(made).equals(bytesOf(vector.new))).toBe(true);
  });

  test.each(bad)("refused: $name", async ({ old, patch }) => {
    await expect(decode(bytesOf(old), bytesOf(patch))).rejects.toBeInstanceOf(PatchError);
  });
});

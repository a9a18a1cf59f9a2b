import { expect, test } from "vitest";
import { PatchError, RefusedError, StorageError, UnavailableError, UpdateError } from "../../src/updates/errors.ts";

test("every error says what to try, and has a code for programs", () => {
  const found = [new RefusedError("a"), new UnavailableError("b"), new StorageError("c"), new PatchError("d")];
  expect(found.map((error) => [error.name, error.code])).toEqual([
    ["RefusedError", "refused"],
    ["UnavailableError", "unavailable"],
    ["StorageError", "storage"],
    ["PatchError", "patch"],
  ]);
  for (const error of found) {
    expect(error).toBeInstanceOf(UpdateError);
    expect(error.remedy).not.toBe("");
  }
});

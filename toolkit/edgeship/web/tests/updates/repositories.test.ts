import { expect, test } from "vitest";
import { meet, type Repositories } from "./repositories.ts";
import { bytesOf, vectors } from "./vectors.ts";

const all = vectors("repositories") as Repositories;
const content = (digest: string) => bytesOf(all.files[digest] ?? "");

test.each(all.cases)("$name", async (found) => {
  const { refused, version, message } = await meet(all, found, content);
  expect({ refused, version }, message).toEqual({ refused: found.refused, version: found.serves });
});

import { expect, test } from "vitest";
import { content, meet, type Repositories } from "./meeting.ts";
import { bytesOf, vectors } from "./vectors.ts";

const all = vectors("repositories") as Repositories;
const read = content(all, bytesOf);

test.each(all.cases)("$name", async (found) => {
  const { refused, version, message } = await meet(all, found, read);
  expect({ refused, version }, message).toEqual({ refused: found.refused, version: found.serves });
});

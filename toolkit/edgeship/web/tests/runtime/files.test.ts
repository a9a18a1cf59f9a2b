import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import type { Asset } from "../../src/runtime/description.ts";
import { ModelError } from "../../src/runtime/errors.ts";
import { Files, overNetwork, type Reader } from "../../src/runtime/files.ts";
import { Progress, type ProgressEvent } from "../../src/runtime/progress.ts";
import { Store } from "../../src/runtime/store.ts";

const CONTENT = new TextEncoder().encode("the weights");
const ASSET: Asset = { path: "assets/weights-1.bin", sha256: createHash("sha256").update(CONTENT).digest("hex"), bytes: CONTENT.length };

async function files(read: Reader, events: ProgressEvent[] = [], signal = new AbortController().signal): Promise<Files> {
  const store = await Store.open("test", true);
  return new Files({ [ASSET.path]: "https://example.org/w" }, store, new Progress((event) => void events.push(event)), signal, read);
}

test("what is damaged on the way is asked for once more, past caches", async () => {
  const fresh: boolean[] = [];
  const read: Reader = (_url, _asset, options) => {
    fresh.push(options.fresh);
    return Promise.resolve(options.fresh ? CONTENT.slice() : CONTENT.slice().fill(0));
  };
  const events: ProgressEvent[] = [];
  expect(await (await files(read, events)).get(ASSET)).toEqual(CONTENT);
  expect(fresh).toEqual([false, true]);
  expect(events.map((event) => event.status)).toEqual(["initiate", "done"]);
  expect(events.at(-1)).toMatchObject({ loaded: CONTENT.length, total: CONTENT.length, cached: false });
});

test.each([
  ["wrong-hash", CONTENT.slice().fill(1)],
  ["truncated", CONTENT.slice(0, 4)],
  ["wrong-type", new TextEncoder().encode(" <!DOCTYPE html>")],
])("bytes that are not the named ones are refused: %s", async (code, content) => {
  const refused = (await files(() => Promise.resolve(content))).get(ASSET);
  await expect(refused).rejects.toSatisfy((error) => error instanceof ModelError && error.code === code && error.remedy !== "");
});

test("an abort before the start throws its reason", async () => {
  const found = await files(() => Promise.resolve(CONTENT.slice()), [], AbortSignal.abort(new Error("enough")));
  await expect(found.get(ASSET)).rejects.toThrow("enough");
});

test("an asset without an address is an error", async () => {
  const found = await files(() => Promise.resolve(CONTENT.slice()));
  await expect(found.get({ ...ASSET, path: "assets/other" })).rejects.toThrow("no address");
});

test("addresses that bundlers put the content into are read without fetch", async () => {
  const options = { signal: new AbortController().signal, fresh: false, onBytes: () => undefined };
  const base64 = `data:application/json;base64,${Buffer.from(CONTENT).toString("base64")}`;
  expect(await overNetwork(base64, ASSET, options)).toEqual(CONTENT);
  expect(await overNetwork("data:text/plain,the%20weights", ASSET, options)).toEqual(CONTENT);
});

test("progress adds up over files", () => {
  const events: ProgressEvent[] = [];
  const progress = new Progress((event) => void events.push(event));
  progress.begin("a", 10);
  progress.begin("b", 30);
  progress.advance("a", 4);
  progress.done("b", true);
  progress.done("a", false);
  progress.ready();
  expect(events.map(({ allLoaded, allTotal }) => [allLoaded, allTotal])).toEqual([[0, 10], [0, 40], [4, 40], [34, 40], [40, 40], [40, 40]]);
});

import { IDBFactory } from "fake-indexeddb";
import { afterEach, expect, test, vi } from "vitest";
import { encode } from "../../src/updates/bytes.ts";
import { browserStores, CacheStore, IndexedDbStore, MemoryStore, StorageError } from "../../src/updates/index.ts";

afterEach(() => void vi.unstubAllGlobals());

const BYTES = encode("bytes");

test("IndexedDB keeps what is put there, for the next client too", async () => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  const store = new IndexedDbStore("a line");
  await store.put("one", BYTES);
  await store.put("two", new Uint8Array());
  await store.put("one", encode("others"));
  const next = new IndexedDbStore("a line");
  expect(await next.names()).toEqual(["one", "two"]);
  expect(await next.get("one")).toEqual(encode("others"));
  await next.delete("one");
  expect([await store.get("one"), await store.names()]).toEqual([undefined, ["two"]]);
  expect(await new IndexedDbStore("another line").names()).toEqual([]);
});

test("what another script wrote there is not taken for bytes", async () => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  const store = new IndexedDbStore("a line");
  await store.put("state", "a text" as never);
  expect(await store.get("state")).toBeUndefined();
});

test("a browser without storage: typed errors, and stores in memory", async () => {
  for (const blocked of [undefined, { open: () => { throw new DOMException("no", "SecurityError"); } }]) {
    vi.stubGlobal("indexedDB", blocked);
    vi.stubGlobal("caches", blocked);
    for (const store of [new IndexedDbStore("a"), new CacheStore("a")]) {
      await expect(store.put("one", BYTES)).rejects.toBeInstanceOf(StorageError);
      await expect(store.get("one")).rejects.toBeInstanceOf(StorageError);
    }
    const { state, files, persistent } = await browserStores("a");
    expect([persistent, state instanceof MemoryStore, files instanceof MemoryStore]).toEqual([false, true, true]);
  }
});

test("what is in memory is nobody else's", async () => {
  const [store, given] = [new MemoryStore(), BYTES.slice()];
  await store.put("one", given);
  given.fill(0);
  (await store.get("one"))?.fill(0);
  expect(await store.get("one")).toEqual(BYTES);
});

import { describe, expect, test } from "vitest";
import { encode, sha256 } from "../../src/updates/bytes.ts";
import {
  Client,
  InputError,
  RefusedError,
  StorageError,
  UnavailableError,
  UpdateError,
  type Options,
  type Progress,
} from "../../src/updates/index.ts";
import { content, inMemory, options, type Case, type Repositories, type Stores } from "./meeting.ts";
import { bytesOf, vectors } from "./vectors.ts";

const all = vectors("repositories") as Repositories;
const read = content(all, bytesOf);
const named = (name: string): Case => {
  const found = all.cases.find((each) => each.name === name);
  if (!found) throw new Error(name);
  return found;
};
const LATEST = named("an update, with a patch");
const FIRST: Case = { ...LATEST, repository: all.states["1.0.0"] ?? {} };

/** A client of these stores, and what it asks for. */
function client(stores: Stores, found: Case, changed: Partial<Options> = {}): { client: Client; asked: string[] } {
  const given = options(all, found, read, stores);
  const asked: string[] = [];
  const fetch: typeof globalThis.fetch = (url, init) => {
    asked.push((url as string).split("/").slice(3).join("/"));
    return (given.fetch ?? globalThis.fetch)(url, init);
  };
  return { client: new Client({ ...given, fetch, ...changed }), asked };
}

/** Stores of a client that runs 1.0.0. */
async function atFirst(): Promise<Stores> {
  const stores = inMemory();
  await client(stores, FIRST).client.update();
  return stores;
}

async function atLatest(): Promise<Stores> {
  const stores = await atFirst();
  await client(stores, LATEST).client.update();
  return stores;
}

const failing = (error: unknown): Partial<Options> => ({
  selfTest: () => {
    throw error;
  },
});
const model = async (of: Client): Promise<string> => {
  const found = await of.active();
  return `${found?.version ?? ""} ${await sha256(found?.files.get(found.manifest.entry) ?? new Uint8Array())}`;
};
const caught = (work: Promise<unknown>): Promise<unknown> => work.then(() => undefined, (error: unknown) => error);

describe("an update", () => {
  test("asks for two files where nothing is new", async () => {
    const { client: found, asked } = client(await atLatest(), LATEST);
    expect((await found.update()).result).toBe("current");
    expect(asked).toEqual(["metadata/2.root.json", "metadata/timestamp.json"]);
  });

  test("takes the patch, and tells how far it is", async () => {
    const { client: found, asked } = client(await atFirst(), LATEST);
    const told: Progress[] = [];
    const looked = await found.check();
    expect([looked.result, looked.version]).toEqual(["available", "1.1.0"]);
    const outcome = await found.update({ onProgress: (progress) => told.push(progress) });
    expect([outcome.result, outcome.version, outcome.bytes]).toEqual(["updated", "1.1.0", looked.bytes]);
    expect(asked.filter((path) => path.endsWith(".esd"))).toHaveLength(2);
    expect(asked.filter((path) => path.endsWith("model.tflite"))).toEqual([]);
    expect(told.map(({ phase }) => phase).filter((phase, at, list) => phase !== list[at - 1])).toEqual([
      "check", "download", "test", "done",
    ]);
    const loads = told.filter(({ phase }) => phase === "download");
    expect(loads.at(-1)).toEqual({ phase: "download", loaded: outcome.bytes, total: outcome.bytes });
  });

  test("takes the whole file where the patch is damaged, and says so in the total", async () => {
    const { client: found } = client(await atFirst(), named("patch that is damaged"));
    const told: Progress[] = [];
    const { bytes } = await found.update({ onProgress: (progress) => told.push(progress) });
    const last = told.filter(({ phase }) => phase === "download").at(-1);
    expect(last?.loaded).toBe(last?.total);
    expect(last?.total).toBeGreaterThan(bytes);
  });

  test("gives golden samples to the self-test, and to nobody else", async () => {
    const names: string[] = [];
    const selfTest: Options["selfTest"] = ({ files }) => Promise.resolve(void names.push(...files.keys()));
    const { client: found } = client(await atFirst(), LATEST, { selfTest });
    await found.update();
    expect(names).toEqual(["model.tflite", "golden/input_0.npy", "golden/output_0.npy"]);
    expect([...((await found.active())?.files.keys() ?? [])]).toEqual(["model.tflite"]);
  });

  test("drops what no release here needs", async () => {
    const stores = await atLatest();
    await stores.files.put("0".repeat(64), encode("left"));
    await client(stores, LATEST).client.update();
    const needed = [await client(stores, LATEST).client.status()].length + (await stores.files.names()).length;
    expect(await stores.files.get("0".repeat(64))).toBeUndefined();
    expect(needed).toBe(1 + 9); // state, 2 manifests, 2 models, 3 golden files (one is shared), the rollout
  });

  test("ends where it is told to, and goes on later", async () => {
    const stores = await atFirst();
    const controller = new AbortController();
    const { client: found } = client(stores, LATEST);
    const onProgress = ({ phase }: Progress): void => (phase === "download" ? controller.abort(new Error("enough")) : undefined);
    expect(await caught(found.update({ signal: controller.signal, onProgress }))).toEqual(new Error("enough"));
    expect((await found.active())?.version).toBe("1.0.0");
    expect((await found.update()).result).toBe("updated");
  });
});

describe("a self-test", () => {
  test("that fails refuses the release for ever", async () => {
    const stores = await atFirst();
    const first = await client(stores, LATEST, failing(new Error("another answer"))).client.update();
    expect([first.result, first.version, first.refused]).toEqual(["kept", "1.0.0", ["1.1.0: self-test: another answer"]]);
    const { client: again, asked } = client(stores, LATEST);
    expect([(await again.update()).result, (await again.status()).failed]).toEqual(["kept", 1]);
    expect(asked).toHaveLength(2);
    expect((await again.active())?.version).toBe("1.0.0");
  });

  test("that never ends is ended, and refuses it", async () => {
    let ended = false;
    const selfTest: Options["selfTest"] = (_, signal) =>
      new Promise(() => signal.addEventListener("abort", () => (ended = true)));
    const { client: found } = client(await atFirst(), LATEST, { selfTest, limits: { testSeconds: 0.02 } });
    expect((await found.update()).refused).toEqual(["1.1.0: self-test: it does not end within 0.02 s"]);
    expect(ended).toBe(true);
  });

  test("that cannot be made now says nothing about the release", async () => {
    const stores = await atFirst();
    const error = new UnavailableError("the runtime does not load");
    expect(await caught(client(stores, LATEST, failing(error)).client.update())).toBe(error);
    expect((await client(stores, LATEST).client.update()).result).toBe("updated");
  });

  test("of the very first release leaves nothing active", async () => {
    const found = client(inMemory(), FIRST, failing(new Error("no"))).client;
    expect(await caught(found.update())).toBeInstanceOf(RefusedError);
    expect(await found.active()).toBeUndefined();
  });
});

describe("going back", () => {
  test("to the release before; what was left is not tried again", async () => {
    const stores = await atLatest();
    const { client: found } = client(stores, LATEST);
    expect((await found.rollBack("wrong answers"))?.version).toBe("1.0.0");
    expect((await found.active())?.version).toBe("1.0.0");
    expect([(await found.update()).result, (await found.status()).active?.version]).toEqual(["kept", "1.0.0"]);
    expect(await caught(found.rollBack("again"))).toBeInstanceOf(RefusedError);
  });

  test("is refused below the floor", async () => {
    const stores = await atLatest();
    const { client: found } = client(stores, named("stolen online keys: a rollout of a version below the floor"));
    expect((await found.update()).result).toBe("kept");
    expect(await caught(found.rollBack("wrong"))).toBeInstanceOf(RefusedError);
    expect((await found.active())?.version).toBe("1.1.0");
  });

  test("a revoked release goes on for want of another one, and the status says so", async () => {
    const { client: found } = client(await atLatest(), named("stolen online keys: a rollout of a revoked version"));
    expect((await found.status()).revoked).toBe(false);
    expect((await found.update()).result).toBe("kept");
    expect((await found.status()).revoked).toBe(true);
    expect((await found.active())?.version).toBe("1.1.0");
    expect((await found.rollBack("revoked"))?.version).toBe("1.0.0");
  });
});

describe("what lies in the browser", () => {
  test("any of it may be lost or damaged: a release is served, or none, and the next update heals", async () => {
    const honest = await model(client(await atLatest(), LATEST).client);
    const old = await model(client(await atFirst(), FIRST).client);
    for (const part of ["state", "files"] as const) {
      for (const name of await (await atLatest())[part].names()) {
        for (const damage of ["lost", "empty", "cut", "zero"]) {
          const stores = await atLatest();
          const bytes = (await stores[part].get(name)) ?? new Uint8Array();
          const left = { empty: new Uint8Array(), cut: bytes.slice(1), zero: new Uint8Array(bytes.length) }[damage];
          await (left ? stores[part].put(name, left) : stores[part].delete(name));
          const { client: found } = client(stores, LATEST);
          expect([honest, old], `${part} ${name} ${damage}`).toContain(await model(found));
          await found.update();
          expect(await model(found), `${part} ${name} ${damage}`).toBe(honest);
        }
      }
    }
  });

  test("a replay is refused though the metadata are lost", async () => {
    const stores = await atLatest();
    for (const name of await stores.state.names()) if (name !== "state") await stores.state.delete(name);
    const error = await caught(client(stores, FIRST).client.update());
    expect(error).toBeInstanceOf(RefusedError);
    expect(String(error)).toContain("was seen already");
  });

  test("a browser that stores nothing: an error, and what is active goes on", async () => {
    const stores = await atFirst();
    stores.files.put = () => Promise.reject(new StorageError("no space"));
    const { client: found } = client(stores, LATEST);
    expect(await caught(found.update())).toBeInstanceOf(StorageError);
    expect((await found.active())?.version).toBe("1.0.0");
  });

  test("another line, or variants that this page does not run, are not given out", async () => {
    const stores = await atLatest();
    expect(await client(stores, LATEST, { line: "points/v2" }).client.active()).toBeUndefined();
    expect(await client(stores, LATEST, { variants: ["tfjs-float16"] }).client.active()).toBeUndefined();
  });
});

describe("a release that came with the page", () => {
  const listing = Object.entries(all.states["1.0.0"] ?? {}).filter(([path]) => path.includes("/1.0.0/"));
  const plain = listing.map(([path, digest]) => [path.replace(/^.*float32\//, "").replace(/[0-9a-f]{64}\./, ""), read(digest)] as const);
  const files = new Map(plain);
  const manifest = files.get("manifest.json") ?? new Uint8Array();

  test("is what updates begin from", async () => {
    const { client: found, asked } = client(inMemory(), LATEST);
    expect(await found.adopt(manifest, files)).toBe(true);
    expect((await found.active())?.version).toBe("1.0.0");
    expect((await found.update()).version).toBe("1.1.0");
    expect(asked.filter((path) => path.endsWith(".esd"))).toHaveLength(2);
    expect(await found.adopt(manifest, files)).toBe(false);
    expect((await found.active())?.version).toBe("1.1.0");
  });

  test("is held to its manifest, and to the line", async () => {
    const broken = new Map(files).set("model.tflite", new Uint8Array(4672));
    expect(await caught(client(inMemory(), LATEST).client.adopt(manifest, broken))).toBeInstanceOf(RefusedError);
    expect(await caught(client(inMemory(), LATEST).client.adopt(manifest, new Map()))).toBeInstanceOf(RefusedError);
    const other = client(inMemory(), LATEST, { line: "points/v2" }).client;
    expect(await caught(other.adopt(manifest, files))).toBeInstanceOf(RefusedError);
  });
});

test("one update at a time", async () => {
  const { client: found } = client(await atFirst(), LATEST);
  const [first, second] = await Promise.all([found.update(), caught(found.update())]);
  expect(first.result).toBe("updated");
  expect(second).toBeInstanceOf(UnavailableError);
});

test.each([
  { line: "points" },
  { variants: [] },
  { variants: ["float16"] },
  { repository: "ftp://host/" },
  { repository: "https://host/?a" },
])("options %o are refused", (changed) => {
  expect(() => client(inMemory(), LATEST, changed)).toThrow(InputError);
});

test("a root that is none is refused", async () => {
  const error = await caught(client(inMemory(), LATEST, { root: encode("{}") }).client.update());
  expect(error).toBeInstanceOf(InputError);
  expect((error as UpdateError).remedy).toContain("root.json");
});

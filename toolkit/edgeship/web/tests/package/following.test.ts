import { afterEach, describe, expect, test, vi } from "vitest";
import type { Description, Tensor } from "../../src/runtime/description.ts";
import { ModelError } from "../../src/runtime/errors.ts";
import { Following } from "../../src/package/following.ts";
import { readProbation } from "../../src/package/probation.ts";
import { readArray } from "../../src/package/npy.ts";
import type { Candidate, Home } from "../../src/package/seam.ts";
import { selfTest } from "../../src/package/selftest.ts";
import { Client, UnavailableError, type Release } from "../../src/updates/index.ts";
import { content, inMemory, options, type Case, type Repositories, type Stores } from "../updates/meeting.ts";
import { bytesOf, vectors } from "../updates/vectors.ts";

const all = vectors("repositories") as Repositories;
const read = content(all, bytesOf);
const LATEST = all.cases.find(({ name }) => name === "an update, with a patch");
if (LATEST === undefined) throw new Error("no such case");
const FIRST: Case = { ...LATEST, repository: all.states["1.0.0"] ?? {} };

/** The release of a case, with its golden samples. */
async function released(found: Case, stores: Stores): Promise<Release> {
  let seen: Release | undefined;
  const keep = (release: Release): Promise<void> => {
    seen = release;
    return Promise.resolve();
  };
  await new Client({ ...options(all, found, read, stores), selfTest: keep }).update();
  if (seen === undefined) throw new Error("nothing was tested");
  return seen;
}

const DESCRIPTION: Description = {
  name: "points",
  version: "1.0.0",
  created: "2026-01-01T00:00:00+00:00",
  inputs: [{ name: "x", shape: [1, 4], dtype: "float32", image: null }],
  outputs: [{ name: "probabilities", shape: [1, 3], dtype: "float32" }],
  labels: ["left", "right", "up"],
  scoring: "values",
  runtimes: [{ name: "litert-wasm", variant: "tflite-float32", model: { "model.tflite": { path: "assets/x", sha256: "a".repeat(64), bytes: 1 } }, module: null, wasm: {} }],
};

/** A package whose runtime gives what a release says, changed by `spoil`. */
function home(release: Release, spoil: (value: number) => number = (value) => value, changed: Partial<Description> = {}): Home & { samples: number } {
  const made = {
    description: { ...DESCRIPTION, ...changed },
    variants: all.variants,
    urls: {},
    cache: false,
    read: undefined,
    samples: 0,
    attempt: (_: Candidate, samples: readonly Readonly<Record<string, Tensor>>[]) => {
      made.samples = samples.length;
      const { values } = readArray(release.files.get("golden/output_0.npy") ?? new Uint8Array());
      const row = (at: number): Tensor => ({ values: Float32Array.from(values.slice(at * 3, at * 3 + 3), spoil), shape: [1, 3] });
      return Promise.resolve({ runtime: "litert-wasm" as const, outputs: samples.map((_sample, at) => ({ probabilities: row(at) })) });
    },
  };
  return made;
}

const signal = new AbortController().signal;
const message = (work: Promise<unknown>): Promise<string> => work.then(() => "passed", (error: unknown) => String(error));

describe("the self-test", () => {
  test("runs all samples, one by one, and passes what is within the tolerance", async () => {
    const release = await released(FIRST, inMemory());
    const found = home(release, (value) => value + 5e-4);
    await selfTest(found, release, signal);
    expect(found.samples).toBe(8);
  });

  test.each([
    ["differ", (value: number) => value + 0.01],
    ["are no numbers", () => NaN],
    ["are without end", () => Infinity],
  ])("refuses outputs that %s", async (_, spoil) => {
    const release = await released(FIRST, inMemory());
    expect(await message(selfTest(home(release, spoil), release, signal))).toMatch(/differs by/);
  });

  test.each<[string, Partial<Description>]>([
    ["inputs", { inputs: [{ name: "x", shape: [1, 5], dtype: "float32", image: null }] }],
    ["outputs", { outputs: [{ name: "scores", shape: [1, 3], dtype: "float32" }] }],
    ["labels", { labels: ["right", "left", "up"] }],
    ["scores", { scoring: "softmax" }],
    ["preprocessing", { inputs: [{ name: "x", shape: [1, 4], dtype: "float32", image: { height: 2, width: 2, channels: "grey", scale: 0.5, mean: [], std: [] } }] }],
  ])("refuses a release with other %s", async (what, changed) => {
    const release = await released(FIRST, inMemory());
    expect(await message(selfTest(home(release, undefined, changed), release, signal))).toContain(`its ${what} are`);
  });

  test("what could not be tried is no verdict", async () => {
    const release = await released(FIRST, inMemory());
    for (const code of ["network", "unsupported-runtime"] as const) {
      const attempt = (): Promise<never> => Promise.reject(new ModelError(code, "not now", "Try later."));
      await expect(selfTest({ ...home(release), attempt }, release, signal)).rejects.toBeInstanceOf(UnavailableError);
    }
    const failing = (): Promise<never> => Promise.reject(new ModelError("runtime-failed", "no such operator", ""));
    await expect(selfTest({ ...home(release), attempt: failing }, release, signal)).rejects.toBeInstanceOf(ModelError);
  });
});

describe("which release starts", () => {
  const none = new Set<string>();
  async function followed(changed: Partial<Description> = {}): Promise<{ stores: Stores; release: Release; following: Following }> {
    const stores = inMemory();
    const release = await released(FIRST, stores);
    const given = { repository: "https://repository.invalid", root: read(FIRST.root), line: all.line };
    return { stores, release, following: new Following(given, home(release, undefined, changed), stores) };
  }

  test("the one that is active, but one that did not start in this page", async () => {
    const { following, release } = await followed();
    expect((await following.newest(none))?.version).toBe("1.0.0");
    expect(await following.newest(new Set([release.sha256]))).toBeNull();
  });

  test("the files of a newer package, until the repository was asked with it", async () => {
    const { following, release } = await followed({ created: "2040-01-01T00:00:00+00:00" });
    expect(await following.newest(none)).toBeNull();
    await following.asked(release);
    expect((await following.newest(none))?.version).toBe("1.0.0");
  });

  test("not one of which three starts did not end; one that ended settles it", async () => {
    const { following, release, stores } = await followed();
    await following.asked(release);
    for (let start = 0; start < 3; start++) {
      expect(await following.newest(none)).not.toBeNull();
      await following.begin(release.sha256);
    }
    await following.end(release.sha256, "stopped");
    expect(await following.newest(none)).not.toBeNull();
    await following.begin(release.sha256);
    expect(await following.newest(none)).toBeNull();
    expect((await following.client.status()).failed).toBe(1);

    const second = await followed();
    await second.following.asked(second.release);
    await second.following.end(second.release.sha256, "started");
    for (let start = 0; start < 5; start++) await second.following.begin(second.release.sha256);
    expect((await second.following.newest(none))?.version).toBe("1.0.0");
    expect((await readProbation(second.stores.state))?.starts).toBeNull();
    await stores.state.put("probation", new Uint8Array([1, 2]));
    expect(await readProbation(stores.state)).toBeNull();
  });
});

describe("tabs that start at once", () => {
  afterEach(() => vi.unstubAllGlobals());

  test("are no starts that did not end, while they live", async () => {
    const held: { name: string }[] = [];
    const request = async (name: string, _: LockOptions, work: (lock: object) => Promise<unknown>): Promise<unknown> => {
      const lock = { name };
      held.push(lock);
      return work(lock).finally(() => held.splice(held.indexOf(lock), 1));
    };
    vi.stubGlobal("navigator", { locks: { request, query: () => Promise.resolve({ held, pending: [] }) } });
    const stores = inMemory();
    const release = await released(FIRST, stores);
    const given = { repository: "https://repository.invalid", root: read(FIRST.root), line: all.line };
    const tabs = Array.from({ length: 4 }, () => new Following(given, home(release), stores));
    await tabs[0]?.asked(release);
    for (const tab of tabs) {
      expect(await tab.newest(new Set())).not.toBeNull();
      await tab.begin(release.sha256);
    }
    held.length = 0; // all of them die
    expect(await tabs[0]?.newest(new Set())).toBeNull();
  });
});

test("files of the page are not fetched, and patches begin from them", async () => {
  const stores = inMemory();
  const { manifest, files } = await released(FIRST, inMemory());
  const asked: string[] = [];
  const given = options(all, LATEST, read, stores);
  const fetch: typeof globalThis.fetch = (url, init) => {
    asked.push(url as string);
    return (given.fetch ?? globalThis.fetch)(url, init);
  };
  const client = new Client({
    ...given,
    fetch,
    builtIn: {
      files: manifest.files,
      read: (sha256) => Promise.resolve(files.get(manifest.files.find((file) => file.sha256 === sha256)?.name ?? "")),
    },
  });
  expect((await client.update()).version).toBe("1.1.0");
  expect(asked.filter((path) => path.endsWith(".esd"))).toHaveLength(2);
  expect(asked.filter((path) => path.includes("input_0"))).toHaveLength(0);
  // Back to the files of the page, where there is no release before.
  expect(await client.rollBack("wrong answers")).toBeUndefined();
  expect(await client.active()).toBeUndefined();
});

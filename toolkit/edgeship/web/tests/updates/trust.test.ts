import { beforeAll, describe, expect, test } from "vitest";
import { encode, sha256, type Bytes } from "../../src/updates/bytes.ts";
import { Http, LIMITS } from "../../src/updates/http.ts";
import { InputError, MemoryStore, RefusedError, UnavailableError } from "../../src/updates/index.ts";
import { believed, read } from "../../src/updates/metadata.ts";
import { BUILT, pinned, Repository } from "../../src/updates/trust.ts";
import { keys, role, signed, signer, type Signer } from "./signing.ts";

const NOW = BUILT + 86_400_000;
const head = (_type: string, version = 1): object => ({
  _type,
  version,
  spec_version: "1.0.31",
  expires: new Date(NOW + 3_600_000).toISOString().replace(".000", ""),
});

let [one, two, three]: [Signer, Signer, Signer] = [] as never;
beforeAll(async () => {
  [one, two, three] = [await signer(), await signer(), await signer()];
});

const rootOf = (more: object = {}, version = 1): object => ({
  ...head("root", version),
  consistent_snapshot: true,
  keys: keys([one, two]),
  roles: { root: role([one, two], 2), timestamp: role([one]), snapshot: role([one]), targets: role([one]) },
  ...more,
});

const file = async (content: string): Promise<object> => ({
  length: encode(content).length,
  hashes: { sha256: await sha256(encode(content)) },
});

/** A repository whose targets delegate as they are told. */
async function repository(
  delegations: object[],
  roles: Record<string, { targets: object; delegations?: object }>,
  by: Signer = two,
): Promise<Repository> {
  const files = new Map<string, Bytes>();
  const targets = { ...head("targets"), targets: {}, delegations: { keys: keys([two]), roles: delegations } };
  files.set("1.targets.json", await signed(targets, [one]));
  for (const [name, content] of Object.entries(roles)) {
    files.set(`1.${encodeURIComponent(name)}.json`, await signed({ ...head("targets"), ...content }, [by]));
  }
  const meta = Object.fromEntries(["targets", ...Object.keys(roles)].map((name) => [`${name}.json`, { version: 1 }]));
  files.set("1.snapshot.json", await signed({ ...head("snapshot"), meta }, [one]));
  const named = { meta: { "snapshot.json": { version: 1 } } };
  files.set("timestamp.json", await signed({ ...head("timestamp"), ...named }, [one]));
  const serve: typeof fetch = (url) => {
    const bytes = files.get((url as string).replace("https://x/metadata/", ""));
    return Promise.resolve(new Response(bytes ?? "", { status: bytes ? 200 : 404 }));
  };
  const root = await pinned(await signed(rootOf(), [one, two]));
  const found = new Repository(root, new Http("https://x", LIMITS, undefined, serve), new MemoryStore(), NOW, undefined);
  await found.refresh();
  return found;
}

const trusted = (name: string, more: object): object => ({ name, ...role([two]), terminating: false, ...more });

describe("who signs", () => {
  test("a key counts once, whatever ids it has", async () => {
    const again = { ...one, keyid: "another" };
    const twice = rootOf({ keys: keys([one, again]), roles: { ...(rootOf() as { roles: object }).roles, root: role([one, again], 2) } });
    await expect(pinned(await signed(twice, [one, again]))).rejects.toBeInstanceOf(InputError);
  });

  test("a signature by a key of another role counts nothing", async () => {
    const found = read("root", await signed(rootOf(), [one, three]));
    await expect(believed(found, found.content.keys, found.content.roles.root)).rejects.toThrow("by 1 of the keys");
  });

  test.each([
    ["a role that lists a key twice", () => signed(rootOf({ roles: { ...(rootOf() as { roles: object }).roles, root: role([one, one]) } }), [one, two])],
    ["two signatures of one key", () => signed(rootOf(), [one, one, two])],
    ["no consistent snapshots", () => signed(rootOf({ consistent_snapshot: false }), [one, two])],
    ["a specification to come", () => signed(rootOf({ spec_version: "2.0.0" }), [one, two])],
    ["a moment that is none", () => signed(rootOf({ expires: "2027-02-30T00:00:00Z" }), [one, two])],
    ["a version below 1", () => signed(rootOf({ version: 0 }), [one, two])],
    ["a threshold of 0", () => signed(rootOf({ roles: { ...(rootOf() as { roles: object }).roles, root: role([one], 0) } }), [one, two])],
    ["a page", () => Promise.resolve(encode("<html></html>"))],
  ])("%s is no root", async (_, bytes) => {
    await expect(pinned(await bytes())).rejects.toBeInstanceOf(InputError);
  });

  test("fields that nobody knows are signed and ignored", async () => {
    expect((await pinned(await signed(rootOf({ x_own: { a: ["é"] } }), [one, two]))).version).toBe(1);
  });
});

describe("delegations", () => {
  const path = "rollout/digits/v1.json";

  test("the first that names the path wins", async () => {
    const [a, b] = [await file("a"), await file("bb")];
    const both = [trusted("a", { paths: ["rollout/*/*.json"] }), trusted("b", { paths: ["rollout/*/*.json"] })];
    const found = await repository(both, { a: { targets: { [path]: a } }, b: { targets: { [path]: b } } });
    expect((await found.delegated(path))?.length).toBe(1);
    expect(found.offline(path)).toBeUndefined();
  });

  test.each([
    ["rollout/*.json", false],
    ["rollout/*/*", true],
    ["rollout/digits/v?.json", true],
    ["rollout/digits/v[0-9].json", true],
    ["rollout/digits/v[!0-9].json", false],
    ["rollout/digits/v1xjson", false],
    ["*", false],
    ["ROLLOUT/*/*", false],
  ])("the pattern %s: %s", async (pattern, holds) => {
    const found = await repository([trusted("a", { paths: [pattern] })], { a: { targets: { [path]: await file("a") } } });
    expect(!!(await found.delegated(path))).toBe(holds);
  });

  test("by the beginning of the path's SHA-256", async () => {
    const digest = await sha256(encode(path));
    const roles = { a: { targets: { [path]: await file("a") } } };
    const found = await repository([trusted("a", { path_hash_prefixes: [digest.slice(0, 2)] })], roles);
    expect(await found.delegated(path)).toBeDefined();
    const other = await repository([trusted("a", { path_hash_prefixes: [digest.startsWith("0") ? "1" : "0"] })], roles);
    expect(await other.delegated(path)).toBeUndefined();
  });

  test("a terminating role ends the search, an ordinary one does not", async () => {
    const b = { targets: { [path]: await file("b") } };
    for (const terminating of [true, false]) {
      const both = [trusted("a", { paths: ["*/*/*"], terminating }), trusted("b", { paths: ["*/*/*"] })];
      const found = await repository(both, { a: { targets: {} }, b });
      expect(!!(await found.delegated(path))).toBe(!terminating);
    }
  });

  test("in depth first, round in circles no more than once, and 32 at most", async () => {
    const inner = (name: string): object => ({ keys: keys([two]), roles: [trusted(name, { paths: ["*/*/*"] })] });
    const circle = await repository([trusted("a", { paths: ["*/*/*"] })], {
      a: { targets: {}, delegations: inner("b") },
      b: { targets: {}, delegations: inner("a") },
    });
    expect(await circle.delegated(path)).toBeUndefined();
    const chain: Record<string, { targets: object; delegations?: object }> = { r40: { targets: { [path]: await file("z") } } };
    for (let at = 39; at > 0; at--) chain[`r${at}`] = { targets: {}, delegations: inner(`r${at + 1}`) };
    const long = await repository([trusted("r1", { paths: ["*/*/*"] })], chain);
    expect(await long.delegated(path)).toBeUndefined();
    const short = await repository([trusted("r20", { paths: ["*/*/*"] })], chain);
    expect(await short.delegated(path)).toBeDefined();
  });

  test("who is not trusted with a role does not sign it", async () => {
    const found = await repository([trusted("a", { paths: ["*/*/*"] })], { a: { targets: {} } }, three);
    await expect(found.delegated(path)).rejects.toBeInstanceOf(RefusedError);
  });

  test("the name of a role is no path", async () => {
    const name = "../../a";
    const found = await repository([trusted(name, { paths: ["*/*/*"] })], { [name]: { targets: { [path]: await file("a") } } });
    expect(await found.delegated(path)).toBeDefined(); // fetched as 1...%2F..%2Fa.json
  });

  test.each([
    ["both paths and hashes", trustedBy({ paths: [], path_hash_prefixes: [] })],
    ["neither", trustedBy({})],
    ["the name of a top-level role", trustedBy({ name: "root", paths: [] })],
  ])("%s: refused", async (_, delegation) => {
    await expect(repository([delegation()], {})).rejects.toBeInstanceOf(RefusedError);
  });
});

function trustedBy(more: object): () => object {
  return () => trusted("a", more);
}

test("a repository that is not there", async () => {
  const root = await pinned(await signed(rootOf(), [one, two]));
  const nowhere: typeof fetch = () => Promise.resolve(new Response("", { status: 404 }));
  const found = new Repository(root, new Http("https://x", LIMITS, undefined, nowhere), new MemoryStore(), NOW, undefined);
  await expect(found.refresh()).rejects.toBeInstanceOf(UnavailableError);
});

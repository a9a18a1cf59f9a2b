/** In a page: all vectors, with the stores of the browser; the result is sent to the server that served the page. */
import { hex, sha256, type Bytes } from "../../src/updates/bytes.ts";
import { decode } from "../../src/updates/delta.ts";
import { browserStores, canUnpack, Client, MemoryStore, PatchError, StorageError } from "../../src/updates/index.ts";
import { draw } from "../../src/updates/releases.ts";
import { content, meet, options, type Repositories } from "./meeting.ts";

type Json = Record<string, unknown>;
const bytesOf = (text: string): Bytes => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
const failures: string[] = [];
let passed = 0;

async function test(name: string, holds: () => Promise<boolean>): Promise<void> {
  try {
    if (await holds()) passed++;
    else failures.push(name);
  } catch (error) {
    failures.push(`${name}: ${String(error)}`);
  }
}

const vectors = async (name: string): Promise<Json> => (await (await fetch(`/vectors/${name}.json`)).json()) as Json;

async function patches(): Promise<void> {
  const { good, bad } = (await vectors("patches")) as Record<string, Record<"name" | "old" | "new" | "patch", string>[]>;
  for (const { name, old, patch, ...made } of good ?? []) {
    await test(`patch: ${name}`, async () => {
      // Kind 0 needs brotli, which not every browser decodes: it is refused there, and the whole file taken.
      const whole = bytesOf(patch)[4] === 0 && !canUnpack("br");
      const found = await decode(bytesOf(old), bytesOf(patch)).catch((error: unknown) => error);
      return whole ? found instanceof PatchError : hex(found as Bytes) === hex(bytesOf(made.new));
    });
  }
  for (const { name, old, patch } of bad ?? []) {
    const refused = decode(bytesOf(old), bytesOf(patch)).then(() => false, (error: unknown) => error instanceof PatchError);
    await test(`refused patch: ${name}`, () => refused);
  }
}

async function cohorts(): Promise<void> {
  const { draws } = (await vectors("cohorts")) as { draws: { rollout: string; model: string; install_id: string; draw: number }[] };
  for (const each of draws) {
    await test(`draw ${each.rollout}`, async () => (await draw(each.rollout, each.model, each.install_id)) === each.draw);
  }
}

async function repositories(): Promise<void> {
  const all = (await vectors("repositories")) as unknown as Repositories;
  const read = content(all, bytesOf);
  for (const [number, found] of all.cases.entries()) {
    await test(`repository: ${found.name}`, async () => {
      const { persistent, ...stores } = await browserStores(`case ${number}`);
      const { refused, version } = await meet(all, found, read, stores);
      return persistent && refused === found.refused && version === found.serves;
    });
  }
  await survives(all, read);
}

/** What lies in the browser is there for a new client, and what is damaged or lost there is healed. */
async function survives(all: Repositories, read: (digest: string) => Bytes): Promise<void> {
  const first = all.cases[0];
  if (!first) return;
  const { state, files } = await browserStores("case 0");
  const client = new Client(options(all, first, read, { state, files }));
  const model = async (): Promise<string> => {
    const found = await client.active();
    return `${found?.version ?? ""} ${found ? await sha256(found.files.get(found.manifest.entry) ?? new Uint8Array()) : ""}`;
  };
  const before = await model();
  await test("a new client has the release of the one before", () => Promise.resolve(before.startsWith("1.1.0 ")));
  await test("state lost", async () => {
    await state.delete("state");
    return (await model()) === before;
  });
  await test("a file damaged: the release before serves, and the next update heals", async () => {
    const entry = (await client.active())?.manifest.files[0];
    if (!entry) return false;
    await files.put(entry.sha256, new Uint8Array(entry.size_bytes));
    const old = await model();
    await client.update();
    return old.startsWith("1.0.0 ") && (await model()) === before;
  });
  await test("all of it lost", async () => {
    for (const store of [state, files]) for (const name of await store.names()) await store.delete(name);
    const none = await client.active();
    await client.update();
    return none === undefined && (await model()) === before;
  });
  await test("another update is refused while one runs", async () => {
    const results = await Promise.allSettled([client.update(), client.update()]);
    return results.filter(({ status }) => status === "rejected").length === 1;
  });
  await test("no space: an error of storage, and the model goes on", async () => {
    const full = new MemoryStore();
    full.put = () => Promise.reject(new StorageError("no space"));
    const error: unknown = await new Client(options(all, first, read, { state, files: full })).update().catch((error: unknown) => error);
    return error instanceof StorageError && (await model()) === before;
  });
}

try {
  await patches();
  await cohorts();
  await repositories();
} catch (error) {
  failures.push(String(error));
}
await fetch("/result", { method: "POST", body: JSON.stringify({ passed, failures, brotli: canUnpack("br") }) });

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { sha256, type Bytes } from "../../src/updates/bytes.ts";
import { download } from "../../src/updates/download.ts";
import { Http, LIMITS } from "../../src/updates/http.ts";
import { MemoryStore, RefusedError, UnavailableError } from "../../src/updates/index.ts";

type Answer = (request: IncomingMessage, response: ServerResponse, number: number) => void;
const CONTENT: Bytes = Uint8Array.from({ length: 100_000 }, (_, at) => (at * 7919) % 251);
const closing: (() => void)[] = [];
afterEach(() => closing.splice(0).forEach((close) => close()));

/** A server on loopback, and what is asked of it. */
async function serving(answer: Answer): Promise<{ address: string; ranges: (string | undefined)[] }> {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response) => answer(request, response, ranges.push(request.headers.range)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => (server.closeAllConnections(), server.close()));
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, ranges };
}

const http = (address: string, seconds = 10, signal?: AbortSignal): Http =>
  new Http(address, { ...LIMITS, seconds, bytesPerSecond: 1e9 }, signal);

async function fetched(answer: Answer, store = new MemoryStore()) {
  const { address, ranges } = await serving(answer);
  const told: number[] = [];
  const target = { path: "a/b.bin", sha256: await sha256(CONTENT), length: CONTENT.length };
  const result = await download(http(address), store, target, (bytes) => told.push(bytes)).catch((error: unknown) => error);
  return { result, ranges, store, loaded: told.reduce((sum, bytes) => sum + bytes, 0), part: `${target.sha256}.part` };
}

const from = (request: IncomingMessage): number => Number(/\d+/.exec(request.headers.range ?? "0")?.[0]);
/** So many bytes, and the connection is cut. */
const cut = (request: IncomingMessage, response: ServerResponse, bytes: number): void => {
  const start = from(request);
  response.writeHead(start ? 206 : 200, { "Content-Length": CONTENT.length - start });
  response.write(CONTENT.subarray(start, start + bytes), () => response.destroy());
};
const send = (request: IncomingMessage, response: ServerResponse): void => {
  const start = from(request);
  response.writeHead(start ? 206 : 200).end(CONTENT.subarray(start));
};

test("a connection that is cut is taken up where it ended", async () => {
  const { result, ranges, loaded } = await fetched((request, response, number) =>
    number < 3 ? cut(request, response, 30_000) : send(request, response),
  );
  expect(result).toEqual(CONTENT);
  expect(ranges).toHaveLength(3);
  expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ""))).toBe(true);
  expect(loaded).toBe(CONTENT.length);
});

test("what came before a connection is lost is gone on with later", async () => {
  const store = new MemoryStore();
  const first = await fetched((request, response, number) => (number === 1 ? cut(request, response, 40_000) : response.destroy()), store);
  expect(first.result).toBeInstanceOf(UnavailableError);
  const kept = (await store.get(first.part))?.length ?? 0;
  expect(kept).toBeGreaterThan(0);
  const { result, ranges } = await fetched(send, store);
  expect(result).toEqual(CONTENT);
  expect(ranges).toEqual([`bytes=${kept}-`]);
  expect(await store.names()).toEqual([]);
});

test.each([
  ["gives all of it again", (_: IncomingMessage, response: ServerResponse) => response.writeHead(200).end(CONTENT)],
  ["knows no ranges", (request: IncomingMessage, response: ServerResponse) => (from(request) ? response.writeHead(416).end() : response.end(CONTENT))],
  ["gives another part", (request: IncomingMessage, response: ServerResponse) => (from(request) ? response.writeHead(206).end(CONTENT.subarray(5, 60_005)) : response.end(CONTENT))],
])("a part that is there, and a server that %s", async (_, answer) => {
  const store = new MemoryStore();
  await store.put(`${await sha256(CONTENT)}.part`, CONTENT.slice(0, 40_000));
  const { result, loaded } = await fetched(answer, store);
  expect(result).toEqual(CONTENT);
  expect(loaded).toBe(CONTENT.length);
});

test("a part of something else is dropped", async () => {
  const store = new MemoryStore();
  await store.put(`${await sha256(CONTENT)}.part`, new Uint8Array(40_000));
  expect((await fetched(send, store)).result).toEqual(CONTENT);
});

test("another file of that length is refused, and nothing of it kept", async () => {
  const { result, store } = await fetched((_, response) => response.end(new Uint8Array(CONTENT.length)));
  expect(result).toBeInstanceOf(RefusedError);
  expect(await store.names()).toEqual([]);
});

test("more than was signed is refused, however much is announced", async () => {
  const { result, store } = await fetched((_, response) => {
    const more = (): void => {
      if (!response.destroyed) response.write(CONTENT, more);
    };
    more();
  });
  expect(result).toBeInstanceOf(RefusedError);
  expect(await store.names()).toEqual([]);
});

test.each([404, 403, 500, 304])("a file that answers %i is not to be had", async (status) => {
  expect((await fetched((_, response) => response.writeHead(status).end())).result).toBeInstanceOf(UnavailableError);
});

test.each([
  ["a page", 200, "text/html; charset=utf-8", "x"],
  ["a page by its beginning", 200, "application/json", "\n <!doctype html>"],
  ["a network that wants a login", 511, "text/plain", "login"],
])("%s is no metadata", async (_, status, type, body) => {
  const { address } = await serving((__, response) => response.writeHead(status, { "Content-Type": type }).end(body));
  await expect(http(address).metadata("timestamp.json", 100)).rejects.toThrow("web page");
});

test("metadata that are missing are not there, and errors of the server are errors", async () => {
  for (const [status, result] of [[404, undefined], [403, undefined]] as const) {
    const { address } = await serving((_, response) => response.writeHead(status).end("no"));
    expect(await http(address).metadata("2.root.json", 100)).toBe(result);
  }
  const { address } = await serving((_, response) => response.writeHead(500).end());
  await expect(http(address).metadata("2.root.json", 100)).rejects.toBeInstanceOf(UnavailableError);
});

test("an answer that never comes, and one that never ends, end by the deadline", async () => {
  for (const answer of [() => undefined, (_: unknown, response: ServerResponse) => response.write("{")]) {
    const { address } = await serving(answer);
    await expect(http(address, 0.1).metadata("timestamp.json", 100)).rejects.toThrow("too slowly");
  }
});

test("who calls may end it", async () => {
  const controller = new AbortController();
  const { address } = await serving((_, response) => {
    response.write("{");
    controller.abort(new Error("enough"));
  });
  await expect(http(address, 10, controller.signal).metadata("timestamp.json", 100)).rejects.toThrow("enough");
});

test("from https nothing but https leads on", async () => {
  const answer = Object.defineProperties(new Response("{}"), { redirected: { value: true }, url: { value: "http://x/a" } });
  const found = new Http("https://x", LIMITS, undefined, () => Promise.resolve(answer));
  await expect(found.metadata("timestamp.json", 100)).rejects.toThrow("leads to http://x/a");
});

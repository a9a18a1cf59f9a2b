import { expect, test } from "vitest";
import { aborting } from "../../src/package/aborting.ts";
import { InWorker } from "../../src/package/channel.ts";
import { thread } from "../../src/package/node_thread.ts";

/** A thread that says it is here and ends at the first request, without an error. */
const LEAVING = "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(0)); parentPort.postMessage({ kind: 'here' });";

test("a worker that has ended fails what it was asked, and all that it is asked later", async () => {
  const channel = new InWorker(() => thread(new URL(`data:text/javascript,${encodeURIComponent(LEAVING)}`)));
  const failed = { name: "ModelError", code: "runtime-failed" };
  await expect(channel.infer({}, [])).rejects.toMatchObject(failed);
  await expect(channel.infer({}, [])).rejects.toMatchObject(failed);
  channel.dispose();
  await expect(channel.infer({}, [])).rejects.toMatchObject(failed);
});

test("a disposed one says so", async () => {
  const channel = new InWorker(() => thread(new URL(`data:text/javascript,${encodeURIComponent(LEAVING)}`)));
  channel.dispose();
  await expect(channel.infer({}, [])).rejects.toMatchObject({ code: "disposed" });
});

test("an abort ends a wait at once, also one that came before", async () => {
  const never = new Promise<never>(() => undefined);
  await expect(aborting(never, AbortSignal.abort("before"))).rejects.toBe("before");
  const abort = new AbortController();
  const waiting = aborting(never, abort.signal);
  abort.abort("now");
  await expect(waiting).rejects.toBe("now");
  expect(await aborting(Promise.resolve(1), new AbortController().signal)).toBe(1);
});

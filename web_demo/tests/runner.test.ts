import { expect, test, vi } from "vitest";
import type { Input, LoadOptions, Model, Prediction } from "digits";
import { Runner } from "../src/runner.ts";

/** Models that answer when the test says so. */
const made: { runtime: string; answer: (prediction: Prediction) => void; disposed: boolean; options: LoadOptions }[] = [];
vi.mock("digits", () => ({
  load: (options: LoadOptions) => {
    const one = { runtime: options.runtime ?? "", answer: (): void => undefined, disposed: false, options };
    made.push(one);
    const predict = (): Promise<Prediction> => new Promise((resolve) => Object.assign(one, { answer: resolve }));
    return Promise.resolve({ info: { runtime: one.runtime }, predict, dispose: () => (one.disposed = true) } as unknown as Model);
  },
}));

const INPUT: Input = new Float32Array(1);
const SEEN: Prediction = { outputs: {} as Prediction["outputs"], classes: [], milliseconds: 3 };

test("a model that is replaced ends once its prediction is there, which is told as its own", async () => {
  const runner = new Runner();
  await runner.start({ runtime: "tfjs-wasm" });
  const waiting = runner.predict(INPUT);
  await runner.start({ runtime: "litert-wasm" });
  expect(made.map(({ disposed }) => disposed)).toEqual([false, false]);
  made[0]?.answer(SEEN);
  expect(await waiting).toMatchObject({ milliseconds: 3, runtime: "tfjs-wasm" });
  await vi.waitFor(() => expect(made.map(({ disposed }) => disposed)).toEqual([true, false]));
});

test("a start that another one comes before is aborted", async () => {
  made.length = 0;
  const runner = new Runner();
  const first = runner.start({ runtime: "tfjs-wasm" });
  const second = await runner.start({ runtime: "litert-wasm" });
  expect(await first).toBeNull();
  expect(made[0]?.options.signal?.aborted).toBe(true);
  expect(made.map(({ disposed }) => disposed)).toEqual([true, false]);
  expect(runner.model).toBe(second);
});

import { expect, test } from "vitest";
import { bytes, cameraTrouble, modelTrouble, reading, runtime, updateWords } from "../src/words.ts";

test.each([
  [[0.992, 0.004], "Surely 7 (99.2 %)."],
  [[0.7, 0.25], "Probably 7 (70.0 %), or 1 (25.0 %)."],
  [[0.48, 0.415], "Perhaps 7 (48.0 %), or 1 (41.5 %)."],
])("how sure it is: %s", ([first = 0, second = 0], words) => {
  expect(reading([{ label: "7", confidence: first }, { label: "1", confidence: second }])).toBe(words);
});

test("names and sizes", () => {
  expect(runtime("litert-webgpu")).toBe("LiteRT.js on WebGPU");
  expect(runtime("other")).toBe("other");
  expect([999, 31_320, 9_367_930].map(bytes)).toEqual(["999 B", "31 kB", "9.4 MB"]);
});

test("troubles say what to try", () => {
  expect(cameraTrouble(new DOMException("x", "NotFoundError")).what).toBe("No camera is there.");
  expect(cameraTrouble(new TypeError("undefined")).remedy).toContain("https");
  expect(modelTrouble(Object.assign(new Error("model.json: HTTP 404"), { code: "not-found", remedy: "Publish it." }))).toEqual({ what: "A file of the model is not on the server.", remedy: "Publish it." });
  expect(modelTrouble(new Error("odd")).what).toContain("odd");
});

test.each([
  [{ status: "checking" }, "Looking for a newer release.", null],
  [{ status: "downloading", loaded: 1200, total: 30_000 }, "A newer release comes: 1 kB of 30 kB.", null],
  [{ status: "current" }, "1.0.0 is what the repository has for this browser.", "Look now"],
  [{ status: "ready", next: { version: "1.1.0", variant: "tfjs-uint8" } }, "1.1.0 is here and passed its test.", "Use 1.1.0"],
  [{ status: "ready", next: null, persistent: false }, "The page's own version is here and passed its test. The browser keeps no updates for this page: the next visit begins anew.", "Use it"],
  [{ status: "kept", refused: ["1.1.0: its test failed"] }, "1.0.0 goes on. Not taken: 1.1.0: its test failed.", "Look now"],
  [{ status: "failed", error: { code: "refused", message: "timestamp.json is not signed", remedy: "" } }, "What the repository gave was refused: timestamp.json is not signed. 1.0.0 goes on.", "Look now"],
] as const)("updates: %o", (changed, says, asks) => {
  const state = { next: null, loaded: 0, total: 0, error: null, refused: [], persistent: true, ...changed } as const;
  expect(updateWords(state, "1.0.0")).toEqual({ says, asks });
});

import { expect, test } from "vitest";
import { bytes, cameraTrouble, modelTrouble, reading, runtime } from "../src/words.ts";

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

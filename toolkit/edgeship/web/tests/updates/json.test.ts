import { expect, test } from "vitest";
import { encode } from "../../src/updates/bytes.ts";
import { RefusedError } from "../../src/updates/errors.ts";
import { canonical, parse } from "../../src/updates/json.ts";

const plain = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

test("canonical JSON is what securesystemslib signs", () => {
  const value = { b: [1, true, null, { z: -5 }], a: 'é"\\\n', "\u{1d4b3}": "1", "\uff58": "2", "": "" };
  expect(plain(canonical(value))).toBe('{"":"","a":"é\\"\\\\\n","b":[1,true,null,{"z":-5}],"\uff58":"2","\u{1d4b3}":"1"}');
});

test.each([1.5, 2 ** 53, NaN, "\ud800", { "\udc00": 1 }])("%s cannot be signed", (value) => {
  expect(() => canonical(value)).toThrow(RefusedError);
});

test.each([
  ["a key twice", '{"a": 1, "b": {"c": 1, "c": 2}}'],
  ["a key twice, written otherwise", '{"a": 1, "\\u0061": 2}'],
  ["the end cut off", '{"a": 1'],
  ["something behind it", "{} {}"],
  ["a mark in front", "\ufeff{}"],
  ["too many levels", "[".repeat(65) + "]".repeat(65)],
  ["a million levels", "[".repeat(1_000_000)],
  ["an open text", '"abc\\'],
  ["nothing", ""],
])("JSON with %s is refused", (_, text) => {
  expect(() => parse(encode(text), "it")).toThrow(RefusedError);
});

test("bytes that are no UTF-8 are refused", () => {
  expect(() => parse(new Uint8Array([34, 255, 34]), "it")).toThrow(RefusedError);
});

test("texts with braces, colons and quotes are no structure", () => {
  const value = { "a:{[": "\\\":{", __proto__: 1, constructor: [":", { x: "," }] };
  expect(parse(encode(JSON.stringify(value)), "it")).toEqual(value);
});

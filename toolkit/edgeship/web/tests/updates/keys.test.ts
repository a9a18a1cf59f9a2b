import { describe, expect, test } from "vitest";
import { encode } from "../../src/updates/bytes.ts";
import { verify, type Key } from "../../src/updates/keys.ts";

const CONTENT = encode("content");
/** Made by securesystemslib. */
const ED: Key = {
  keytype: "ed25519",
  scheme: "ed25519",
  keyval: { public: "96c127e25c1bb9b296a60d12d543c71339ce79a8d2383428f84ce1333b8480ab" },
};
const ED_SIGNATURE =
  "db9be51dda7b8d76ade3ced39b026b43581d9fe80058ced8073c1fad8ce8dceeae8eb893f899e45456bac6ea8b650f05c71b8b0ce805e954d5d0476b7e3cec04";
const PEM =
  "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEAe56rEBViPRNFC1qxrft9A00Ed77\n5Iu9OOosrJe/pcEgkjXUEQHS1hI2kEMPernYT8UHQ7XSD0W7XgW0EzYmdg==\n-----END PUBLIC KEY-----\n";
const EC: Key = { keytype: "ecdsa", scheme: "ecdsa-sha2-nistp256", keyval: { public: PEM } };
const [R, S] = [
  "00942cefa4684c026a8b1730604ed6c2e684cdf60e501f66b21cea8fdd0a34325a",
  "00dda9f2e27bad20bc4bc8f3d171d0cd06a776067d3e6a5424c8d32f153a4c0c59",
];
const EC_SIGNATURE = `30460221${R}0221${S}`;

test("signatures of both kinds hold, for their content and key only", async () => {
  for (const [key, signature] of [[ED, ED_SIGNATURE], [EC, EC_SIGNATURE]] as const) {
    expect(await verify(key, signature, CONTENT)).toBe(true);
    expect(await verify(key, signature, encode("Content"))).toBe(false);
    expect(await verify(key, signature.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")), CONTENT)).toBe(false);
  }
  expect(await verify({ ...EC, keytype: "ecdsa-sha2-nistp256" }, EC_SIGNATURE, CONTENT)).toBe(true);
});

test.each([
  ["empty", ""],
  ["no digits", "zz"],
  ["half a byte", ED_SIGNATURE.slice(1)],
  ["too short", ED_SIGNATURE.slice(2)],
  ["too long", `${ED_SIGNATURE}00`],
  ["in capitals", ED_SIGNATURE.toUpperCase()],
])("an Ed25519 signature that is %s is none", async (_, signature) => {
  expect(await verify(ED, signature, CONTENT)).toBe(false);
});

describe("a signature on P-256 is in DER, in one form only", () => {
  test.each([
    ["empty", ""],
    ["no sequence", `31460221${R}0221${S}`],
    ["a wrong length", `30470221${R}0221${S}`],
    ["something behind it", `${EC_SIGNATURE}00`],
    ["something behind it, counted", `30470221${R}0221${S}00`],
    ["no integer", `30460321${R}0221${S}`],
    ["a negative number", `30450220${R.slice(2)}0221${S}`],
    ["a zero too many", `3047022200${R}0221${S}`],
    ["a number that is too long", `30480223${R}00000221${S}`],
    ["one number only", `30230221${R}`],
    ["cut off", EC_SIGNATURE.slice(0, -2)],
    ["raw", `${R.slice(2)}${S.slice(2)}`],
  ])("%s", async (_, signature) => {
    expect(await verify(EC, signature, CONTENT)).toBe(false);
  });
});

test.each([
  ["rsa", { keytype: "rsa", scheme: "rsassa-pss-sha256" }],
  ["another curve", { scheme: "ecdsa-sha2-nistp384" }],
  ["no PEM", { keyval: { public: "key" } }],
  ["PEM of nothing", { keyval: { public: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" } }],
  ["the wrong kind", { keytype: "ed25519", scheme: "ed25519" }],
])("a key that is %s verifies nothing", async (_, changed) => {
  expect(await verify({ ...EC, ...changed }, EC_SIGNATURE, CONTENT)).toBe(false);
});

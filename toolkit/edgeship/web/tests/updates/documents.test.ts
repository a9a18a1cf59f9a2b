import { describe, expect, test } from "vitest";
import { encode } from "../../src/updates/bytes.ts";
import { RefusedError } from "../../src/updates/errors.ts";
import { allows, line, noPolicy, policy, rollout, version, wish, type Member } from "../../src/updates/releases.ts";

const LINE = { model: "wake-word", major: 1 };
const POLICY = { schema: "edgeship.policy/1", model: "wake-word", major: 1, floor: "1.2.0", revoked: ["1.3.1"] };
const ROLLOUT = {
  schema: "edgeship.rollout/1",
  model: "wake-word",
  major: 1,
  rollout: "2026-11-20T10:00:00Z",
  state: "running",
  stable: "1.2.0",
  arms: [{ version: "1.3.0", percent: 12.5 }],
  channels: { canary: "1.4.0" },
  constraints: { variants: [] as string[], not_before: null as string | null },
};
const bytes = (document: object) => encode(JSON.stringify(document));
const NOW = Date.parse("2026-12-01T00:00:00Z");
/** Its draw is 5865 (tests/vectors/cohorts.json). */
const MEMBER: Member = { installId: "9f86d081884c7d659a2feaa0c55ad015", variants: ["tfjs-float16"], channel: undefined };

test("versions are three numbers", () => {
  for (const good of ["0.0.0", "1.10.2", "2147483647.0.1"]) expect(version(good, "v")).toBe(good);
  for (const bad of ["1.0", "01.0.0", "1.0.0-rc", "2147483648.0.0", "1.0.0\n", " 1.0.0", 1]) {
    expect(() => version(bad, "v")).toThrow(RefusedError);
  }
});

test("lines are a model and a major version", () => {
  expect(line("wake-word/v1", "line")).toEqual(LINE);
  for (const bad of ["wake-word", "/v1", "../x/v1", "Wake/v1", "a/v01", "a/v-1", "-a/v1", "a/b/v1"]) {
    expect(() => line(bad, "line")).toThrow(RefusedError);
  }
});

test("versions are compared as numbers, and by the policy", () => {
  const rules = policy(bytes(POLICY), LINE);
  expect(["1.1.9", "1.2.0", "1.10.0", "1.3.1", "2.0.0"].map((release) => allows(rules, release))).toEqual([
    false, true, true, false, false,
  ]);
  expect(allows(noPolicy(LINE), "1.0.0")).toBe(true);
});

describe("documents that are refused", () => {
  test.each([
    ["an unknown field", { ...POLICY, note: "" }],
    ["another model", { ...POLICY, model: "words" }],
    ["another line", { ...POLICY, floor: "2.0.0" }],
    ["a field missing", { ...POLICY, revoked: undefined }],
    ["another schema", { ...POLICY, schema: "edgeship.policy/2" }],
    ["a number for a text", { ...POLICY, floor: 1 }],
  ])("a policy with %s", (_, document) => {
    expect(() => policy(bytes(document), LINE)).toThrow(RefusedError);
  });

  test.each([
    ["more than its share", { arms: [{ version: "1.3.0", percent: 60 }, { version: "1.4.0", percent: 1 }] }],
    ["thousandths of a percent", { arms: [{ version: "1.3.0", percent: 0.005 }] }],
    ["less than nothing", { arms: [{ version: "1.3.0", percent: -1 }] }],
    ["too many arms", { arms: Array.from({ length: 9 }, () => ({ version: "1.3.0", percent: 1 })) }],
    ["another state", { state: "stopped" }],
    ["another line in a channel", { channels: { canary: "2.0.0" } }],
    ["a channel that is no name", { channels: { "Canary!": "1.3.0" } }],
    ["no name", { rollout: "" }],
    ["a day that is none", { constraints: { variants: [], not_before: "2026-02-30T00:00:00Z" } }],
    ["a list for an object", { channels: [] }],
    ["unknown constraints", { constraints: { ...ROLLOUT.constraints, region: "eu" } }],
  ])("a rollout with %s", (_, changed) => {
    expect(() => rollout(bytes({ ...ROLLOUT, ...changed }), LINE)).toThrow(RefusedError);
  });
});

describe("which release it is", () => {
  const chosen = async (changed: object, member: object = {}, rules: object = {}): Promise<string> => {
    const [document, allowed] = [rollout(bytes({ ...ROLLOUT, ...changed }), LINE), policy(bytes({ ...POLICY, ...rules }), LINE)];
    const { versions, reason } = await wish(document, allowed, { ...MEMBER, ...member }, NOW);
    return `${reason} ${versions.join()}`;
  };
  const arm = (percent: number): object => ({ arms: [{ version: "1.3.0", percent }] });

  test.each([
    ["not drawn", arm(58.65), {}, "stable 1.2.0"],
    ["drawn", arm(58.66), {}, "arm 1.3.0,1.2.0"],
    ["drawn by all", arm(100), {}, "arm 1.3.0,1.2.0"],
    ["the second arm", { arms: [{ version: "1.3.0", percent: 50 }, { version: "1.4.0", percent: 8.66 }] }, {}, "arm 1.4.0,1.2.0"],
    ["between arms", { arms: [{ version: "1.3.0", percent: 50 }, { version: "1.4.0", percent: 8.65 }] }, {}, "stable 1.2.0"],
    ["in a channel", arm(0), { channel: "canary" }, "channel 1.4.0,1.2.0"],
    ["in a channel that is not named", arm(0), { channel: "beta" }, "stable 1.2.0"],
    ["halted", { ...arm(100), state: "halted" }, { channel: "canary" }, "halted 1.2.0"],
    ["too early", { ...arm(100), constraints: { variants: [], not_before: "2026-12-01T00:00:01Z" } }, {}, "constraints 1.2.0"],
    ["in time", { ...arm(100), constraints: { variants: [], not_before: "2026-12-01T00:00:00Z" } }, {}, "arm 1.3.0,1.2.0"],
    ["another variant", { ...arm(100), constraints: { variants: ["tflite-int8"], not_before: null } }, {}, "constraints 1.2.0"],
    ["its variant", { ...arm(100), constraints: { variants: ["tfjs-float16"], not_before: null } }, {}, "arm 1.3.0,1.2.0"],
  ])("%s", async (_, changed, member, expected) => {
    expect(await chosen(changed, member)).toBe(expected);
  });

  test("what is revoked or below the floor is not wanted", async () => {
    expect(await chosen(arm(100), {}, { revoked: ["1.3.0"] })).toBe("arm 1.2.0");
    expect(await chosen(arm(100), {}, { revoked: ["1.3.0"], floor: "1.3.0" })).toBe("arm ");
  });
});

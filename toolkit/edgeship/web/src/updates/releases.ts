import { encode, sha256, type Bytes } from "./bytes.ts";
import { RefusedError } from "./errors.ts";
import { parse } from "./json.ts";
import { moment } from "./metadata.ts";
import { integer, list, map, nullable, number, object, oneOf, text, unfit, type Read, type Shape } from "./shape.ts";

/** Names, documents, and which release a client runs (docs/updates/repository.md). */

/** Places in a draw: shares are given in hundredths of a percent. */
const PLACES = 10_000;
const MOST_ARMS = 8;
const MOST = 1000;
const LARGEST = 2 ** 31 - 1;
/** Bytes of a policy or rollout. */
export const DOCUMENT_BYTES = 64 << 10;

const NUMBER = "(0|[1-9][0-9]{0,9})";
const VERSION = new RegExp(`^${NUMBER}\\.${NUMBER}\\.${NUMBER}$`);
const LINE = new RegExp(`^([a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)/v${NUMBER}$`);
const model = text(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/);
/** `<format>-<variant>`, such as `tflite-int8`. */
export const variant = text(/^[a-z0-9]+(-[a-z0-9]+)+$/, 64);
const channel = text(/^[a-z0-9][a-z0-9_-]{0,31}$/);

/** A model and its major version: what an application is written for. */
export interface Line {
  readonly model: string;
  readonly major: number;
}

/** Read `model/v1`. @throws RefusedError */
export const line: Read<Line> = (value, at) => {
  const [, name, major] = LINE.exec(text()(value, at)) ?? [];
  if (name === undefined || Number(major) > LARGEST) throw unfit(at, "a model and its major version: MODEL/v1");
  return { model: name, major: Number(major) };
};

/** Three plain numbers below 2^31: `1.4.0`. */
export const version: Read<string> = (value, at) => {
  const found = VERSION.exec(text()(value, at));
  if (!found || found.slice(1).some((part) => Number(part) > LARGEST)) throw unfit(at, "a version such as 1.4.0");
  return found[0];
};

const numbers = (release: string): number[] => release.split(".").map(Number);
const isBelow = (a: string, b: string): boolean => {
  const [x, y] = [numbers(a), numbers(b)];
  const at = x.findIndex((part, index) => part !== y[index]);
  return at >= 0 && (x[at] ?? 0) < (y[at] ?? 0);
};

const policyShape = object({
  schema: oneOf("edgeship.policy/1"),
  model,
  major: integer(0, LARGEST),
  floor: version,
  revoked: list(version, MOST),
});
/** What the offline role says of a line: no client goes below the floor or takes what is revoked. */
export type Policy = Shape<typeof policyShape>;

const rolloutShape = object({
  schema: oneOf("edgeship.rollout/1"),
  model,
  major: integer(0, LARGEST),
  rollout: text(/^[!-~]{1,64}$/),
  state: oneOf("running", "halted"),
  stable: version,
  arms: list(object({ version, percent: number(0, 100) }), MOST_ARMS),
  channels: map(version, channel, MOST),
  constraints: object({ variants: list(variant, MOST), not_before: nullable(moment) }),
});
/** Who gets which release of a line. */
export type Rollout = Shape<typeof rolloutShape>;

/** What holds where a repository has no policy. */
export const noPolicy = ({ model, major }: Line): Policy => ({
  schema: "edgeship.policy/1",
  model,
  major,
  floor: `${major}.0.0`,
  revoked: [],
});

/** Read a policy. @throws RefusedError for what is none, or is about another line. */
export function policy(bytes: Bytes, of: Line): Policy {
  const found = inLine(policyShape(parse(bytes, "the policy"), "the policy"), of);
  [found.floor, ...found.revoked].forEach((release) => checkMajor(release, of));
  return found;
}

/** Read a rollout. @throws RefusedError for what is none, or is about another line. */
export function rollout(bytes: Bytes, of: Line): Rollout {
  const found = inLine(rolloutShape(parse(bytes, "the rollout"), "the rollout"), of);
  [found.stable, ...found.arms.map((arm) => arm.version), ...found.channels.values()].forEach((release) =>
    checkMajor(release, of),
  );
  for (const { percent } of found.arms) {
    if (percent > 100 / found.arms.length || Math.abs(places(percent) - percent * 100) > 1e-6) {
      throw unfit("percent", `0 to ${100 / found.arms.length} in steps of 0.01, not ${percent}`);
    }
  }
  return found;
}

function inLine<T extends Line>(found: T, of: Line): T {
  if (found.model === of.model && found.major === of.major) return found;
  throw new RefusedError(`a document of ${found.model}/v${found.major} is none of ${of.model}/v${of.major}`);
}

function checkMajor(release: string, { major }: Line): void {
  if (numbers(release)[0] !== major) throw unfit(release, `a version of the line v${major}`);
}

const places = (percent: number): number => Math.round(percent * 100);

/** Whether a release may run: in the line, not below the floor, not revoked. */
export const allows = ({ major, floor, revoked }: Policy, release: string): boolean =>
  numbers(release)[0] === major && !isBelow(release, floor) && !revoked.includes(release);

/** A client, as far as rollouts tell clients apart. None of this leaves it. */
export interface Member {
  /** 32 lowercase hexadecimal digits, random. */
  readonly installId: string;
  /** That it can run, best first. */
  readonly variants: readonly string[];
  /** That a person put it into. */
  readonly channel: string | undefined;
}

export type Reason = "stable" | "halted" | "channel" | "arm" | "constraints";

/** Its place in a rollout, of 10,000: uniform, and independent between rollouts and models. */
export async function draw(name: string, ofModel: string, installId: string): Promise<number> {
  const digest = await sha256(encode(`${name}\0${ofModel}\0${installId}`));
  return parseInt(digest.slice(0, 12), 16) % PLACES;
}

/** Versions that a client should run, allowed by the policy, best first; and why the first is. */
export async function wish(
  document: Rollout,
  policy: Policy,
  member: Member,
  now: number,
): Promise<{ versions: readonly string[]; reason: Reason }> {
  const [wanted, reason] = await choose(document, member, now);
  const versions = [...new Set([wanted, document.stable])].filter((release) => allows(policy, release));
  return { versions, reason };
}

async function choose(document: Rollout, member: Member, now: number): Promise<[string, Reason]> {
  const { stable, arms, channels, constraints } = document;
  const { variants, not_before } = constraints;
  if (document.state === "halted") return [stable, "halted"];
  const meets = !variants.length || variants.some((name) => member.variants.includes(name));
  if (!meets || (not_before !== null && now < not_before)) return [stable, "constraints"];
  const named = member.channel === undefined ? undefined : channels.get(member.channel);
  if (named !== undefined) return [named, "channel"];
  const place = await draw(document.rollout, document.model, member.installId);
  const each = Math.floor(PLACES / arms.length);
  // Places that an arm may grow into are no other's.
  const arm = arms.find(({ percent }, at) => at * each <= place && place < at * each + places(percent));
  return arm ? [arm.version, "arm"] : [stable, "stable"];
}

const folder = ({ model, major }: Line): string => `models/${model}/v${major}`;
/** Target paths of what a repository has. */
export const paths = {
  policy: (of: Line): string => `${folder(of)}/policy.json`,
  rollout: ({ model, major }: Line): string => `rollout/${model}/v${major}.json`,
  release: (of: Line, release: string, variant: string): string => `${folder(of)}/${release}/${variant}`,
  /** The patch between two files, by the first digits of their SHA-256. */
  patch: (of: Line, from: string, to: string): string =>
    `${folder(of)}/patches/${from.slice(0, 12)}-${to.slice(0, 12)}.esd`,
};

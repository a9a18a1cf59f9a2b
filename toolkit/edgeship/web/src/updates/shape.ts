import { RefusedError } from "./errors.ts";

/** Checks a value from outside and gives it its type; `at` is its place, for the error. */
export type Read<T> = (value: unknown, at: string) => T;

/** What a reader gives. */
export type Shape<R> = R extends Read<infer T> ? T : never;

type Fields<S> = { [K in keyof S]: Shape<S[K]> };

const LONGEST = 100_000;

/** The error for a value at a place; `allowed` says what may be there. */
export const unfit = (at: string, allowed: string): RefusedError => new RefusedError(`${at} must be ${allowed}`);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export const text =
  (pattern = /^/, most = LONGEST): Read<string> =>
  (value, at) => {
    if (typeof value !== "string" || value.length > most || !pattern.test(value)) {
      throw unfit(at, `a text like ${pattern.source.slice(0, 80)}, at most ${most} long`);
    }
    return value;
  };

export const number =
  (least = -Infinity, most = Infinity): Read<number> =>
  (value, at) => {
    if (typeof value !== "number" || !Number.isFinite(value) || value < least || value > most) {
      throw unfit(at, `a number from ${least} to ${most}`);
    }
    return value;
  };

export const integer =
  (least = 0, most = Number.MAX_SAFE_INTEGER): Read<number> =>
  (value, at) => {
    if (!Number.isSafeInteger(value)) throw unfit(at, "a whole number");
    return number(least, most)(value, at);
  };

export const flag: Read<boolean> = (value, at) => {
  if (typeof value !== "boolean") throw unfit(at, "true or false");
  return value;
};

export const oneOf =
  <const T extends readonly (string | null)[]>(...allowed: T): Read<T[number]> =>
  (value, at) => {
    if (!(allowed as readonly unknown[]).includes(value)) throw unfit(at, allowed.join(" or "));
    return value as T[number];
  };

export const nullable =
  <T>(read: Read<T>): Read<T | null> =>
  (value, at) =>
    value === null ? null : read(value, at);

/** A field of `object` that may be missing. */
export const optional =
  <T>(read: Read<T>): Read<T | undefined> =>
  (value, at) =>
    value === undefined ? undefined : read(value, at);

export const list =
  <T>(read: Read<T>, most = Infinity, least = 0): Read<readonly T[]> =>
  (value, at) => {
    if (!Array.isArray(value) || value.length > most || value.length < least) {
      throw unfit(at, `a list of ${least} to ${most}`);
    }
    return value.map((inner, index) => read(inner, `${at}[${index}]`));
  };

/** An object with keys of any name. */
export const map =
  <T>(read: Read<T>, key: Read<string> = text(), most = Infinity): Read<ReadonlyMap<string, T>> =>
  (value, at) => {
    if (!isObject(value)) throw unfit(at, "an object");
    const entries = Object.entries(value);
    if (entries.length > most) throw unfit(at, `an object with at most ${most} keys`);
    return new Map(entries.map(([name, inner]) => [key(name, at), read(inner, `${at}.${name.slice(0, 100)}`)]));
  };

/** An object with these fields and no other ones; `open`: others are ignored. */
export const object =
  <S extends Record<string, Read<unknown>>>(fields: S, open = false): Read<Readonly<Fields<S>>> =>
  (value, at) => {
    if (!isObject(value)) throw unfit(at, "an object");
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(fields, name));
    if (unknown !== undefined && !open) throw unfit(at, `without the unknown field ${unknown.slice(0, 100)}`);
    const read = Object.entries(fields).map(([name, field]) => {
      const inner = Object.hasOwn(value, name) ? value[name] : undefined;
      return [name, field(inner, `${at}.${name}`)];
    });
    return Object.fromEntries(read) as Fields<S>;
  };

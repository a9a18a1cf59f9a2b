import { unhex, type Bytes } from "./bytes.ts";
import { UnavailableError } from "./errors.ts";
import { object, text, type Shape } from "./shape.ts";

/** A public key as TUF metadata have it. */
export const key = object({ keytype: text(), scheme: text(), keyval: object({ public: text() }, true) }, true);
export type Key = Shape<typeof key>;

const PEM = /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/;
/** Bytes of each of the two numbers of a signature on P-256. */
const HALF = 32;

/**
 * Whether a signature is by this key. What is no signature, or by a kind of key that TUF clients of edgeship do not
 * take, is none.
 *
 * @param signature hexadecimal digits: 64 bytes for Ed25519, DER for ECDSA.
 * @throws UnavailableError where the browser has no Ed25519.
 */
export async function verify(by: Key, signature: string, content: Bytes): Promise<boolean> {
  const given = unhex(signature);
  if (given === undefined) return false;
  const { keytype, scheme } = by;
  if (keytype === "ed25519" && scheme === "ed25519") return ed25519(unhex(by.keyval.public), given, content);
  if (scheme !== "ecdsa-sha2-nistp256" || (keytype !== "ecdsa" && keytype !== scheme)) return false;
  const [spki, raw] = [unpem(by.keyval.public), fromDer(given)];
  if (spki === undefined || raw === undefined) return false;
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("spki", spki, algorithm, false, ["verify"]).catch(() => undefined);
  return imported !== undefined && crypto.subtle.verify(algorithm, imported, raw, content);
}

async function ed25519(raw: Bytes | undefined, signature: Bytes, content: Bytes): Promise<boolean> {
  if (raw?.length !== HALF || signature.length !== 2 * HALF) return false;
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== "NotSupportedError") return false;
    throw new UnavailableError("this browser has no Ed25519", "Take a newer one, or sign with P-256 keys.");
  }
  return crypto.subtle.verify("Ed25519", imported, signature, content);
}

/** What is in a PEM file of a public key; undefined for what is none. */
function unpem(pem: string): Bytes | undefined {
  const found = PEM.exec(pem)?.[1]?.replace(/\s/g, "");
  try {
    return found === undefined ? undefined : Uint8Array.from(atob(found), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** SEQUENCE { INTEGER r, INTEGER s } to r and s of 32 bytes each, as WebCrypto wants them; undefined for what is none. */
function fromDer(der: Bytes): Bytes | undefined {
  const raw = new Uint8Array(2 * HALF);
  let at = 2;
  for (const end of [HALF, 2 * HALF]) {
    const length = der[at + 1] ?? 0;
    const digits = der.subarray(at + 2, at + 2 + length);
    at += 2 + length;
    // The shortest form, positive: a zero stands before a first bit that is set, and nowhere else.
    const [first = 128, second = 128] = digits;
    if (der[at - length - 2] !== 2 || digits.length !== length || first > 127 || (first === 0 && second < 128)) return undefined;
    const plain = first === 0 ? digits.subarray(1) : digits;
    if (plain.length > HALF) return undefined;
    raw.set(plain, end - plain.length);
  }
  return der[0] === 48 && der[1] === der.length - 2 && at === der.length ? raw : undefined;
}

import { encode, hex, sha256, type Bytes } from "../../src/updates/bytes.ts";
import { canonical } from "../../src/updates/json.ts";

/** A key that signs metadata of tests. */
export interface Signer {
  keyid: string;
  public: { keytype: string; scheme: string; keyval: { public: string } };
  sign: (content: Bytes) => Promise<string>;
}

export async function signer(): Promise<Signer> {
  const pair = (await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]));
  const raw = hex(new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)));
  const known = { keytype: "ed25519", scheme: "ed25519", keyval: { public: raw } };
  const sign = async (content: Bytes): Promise<string> =>
    hex(new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, content)));
  return { keyid: await sha256(canonical(known)), public: known, sign };
}

export const role = (signers: readonly Signer[], threshold = 1): object => ({
  keyids: signers.map(({ keyid }) => keyid),
  threshold,
});

export const keys = (signers: readonly Signer[]): object =>
  Object.fromEntries(signers.map((each) => [each.keyid, each.public]));

/** Metadata with the signatures of these keys. */
export async function signed(content: object, by: readonly Signer[]): Promise<Bytes> {
  const bytes = canonical(content);
  const signatures = await Promise.all(by.map(async ({ keyid, sign }) => ({ keyid, sig: await sign(bytes) })));
  return encode(JSON.stringify({ signatures, signed: content }));
}

/** Bytes that WebCrypto and storage take. */
export type Bytes = Uint8Array<ArrayBuffer>;

const HEX = /^(?:[0-9a-f]{2})*$/;

/** UTF-8 of a text. */
export const encode = (text: string): Bytes => new TextEncoder().encode(text);

/** Lowercase hexadecimal digits. */
export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Inverse of `hex`; undefined for what is none. */
export function unhex(text: string): Bytes | undefined {
  if (!HEX.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

/** SHA-256 as hexadecimal digits. */
export const sha256 = async (bytes: Bytes): Promise<string> =>
  hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));

/** Whether bytes have the length and SHA-256 that were signed for them. */
export const isFile = async (bytes: Bytes, digest: string, length: number): Promise<boolean> =>
  bytes.length === length && (await sha256(bytes)) === digest;

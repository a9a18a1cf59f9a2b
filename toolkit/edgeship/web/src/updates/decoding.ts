import type { Bytes } from "./bytes.ts";
import { unpack, type Encoding } from "./unpack.ts";

/** What takes a processor a while: another thread may do it. */
export interface Decoding {
  /** A file of `size` bytes at most, from an older one. @throws PatchError */
  patch(old: Bytes, patch: Bytes, size: number): Promise<Bytes>;
  /** A file of `size` bytes. @throws RefusedError, UnavailableError */
  unpack(packed: Bytes, encoding: Encoding, size: number): Promise<Bytes>;
}

export const inThisThread: Decoding = {
  patch: async (old, patch, size) => {
    const { decode } = await import("./delta.ts"); // loaded by who needs it
    return decode(old, patch, size);
  },
  unpack,
};

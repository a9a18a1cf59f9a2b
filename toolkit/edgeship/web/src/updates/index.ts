/**
 * The client of an update repository (docs/updates/web.md): keeps a model in a browser up to date.
 *
 *     const { state, files } = await browserStores("digits/v1");
 *     const client = new Client({ repository, root, line: "digits/v1", variants: ["tfjs-float16"], state, files, selfTest });
 *     const release = await client.active();   // from what is here, no network
 *     await client.update({ onProgress });     // in the background
 */
export type { BuiltIn } from "./builtin.ts";
export { Client, type Call, type Options, type Status } from "./client.ts";
export { inThisThread, type Decoding } from "./decoding.ts";
export { InputError, PatchError, RefusedError, StorageError, UnavailableError, UpdateError, type ErrorCode } from "./errors.ts";
export type { Progress } from "./fetching.ts";
export type { Limits } from "./http.ts";
export type { Release } from "./installed.ts";
export { readManifest, type File, type Manifest } from "./manifest.ts";
export type { Reason } from "./releases.ts";
export { browserStores, CacheStore, IndexedDbStore, MemoryStore, type Store } from "./stores.ts";
export { canUnpack } from "./unpack.ts";
export type { Outcome } from "./updating.ts";

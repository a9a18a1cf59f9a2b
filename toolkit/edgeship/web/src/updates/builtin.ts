import type { Bytes } from "./bytes.ts";
import type { File } from "./manifest.ts";
import type { Store } from "./stores.ts";

/** Files that a page has without this client. */
export interface BuiltIn {
  readonly files: readonly Pick<File, "name" | "sha256" | "size_bytes">[];
  /** The bytes of one of them; undefined where they cannot be had now. They are checked by who takes them. */
  read(sha256: string): Promise<Bytes | undefined>;
}

/** A store that has the files of the page as well; those that are asked for it keeps, as the page may lose them. */
export function withBuiltIn(store: Store, builtIn: BuiltIn | undefined): Store {
  if (!builtIn) return store;
  const digests = builtIn.files.map(({ sha256 }) => sha256);
  return {
    get: async (name) => {
      const kept = await store.get(name);
      const found = kept ?? (digests.includes(name) ? await builtIn.read(name) : undefined);
      if (!kept && found) await store.put(name, found);
      return found;
    },
    put: (name, bytes) => store.put(name, bytes),
    delete: (name) => store.delete(name),
    names: async () => [...new Set([...(await store.names()), ...digests])],
  };
}

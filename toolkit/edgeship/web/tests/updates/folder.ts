import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Bytes } from "../../src/updates/bytes.ts";
import type { Store } from "../../src/updates/index.ts";

/** A store in a folder, for tests that look into it from outside. */
export class FolderStore implements Store {
  constructor(private readonly folder: string) {}

  async get(name: string): Promise<Bytes | undefined> {
    try {
      return new Uint8Array(await readFile(this.#path(name)));
    } catch {
      return undefined;
    }
  }

  async put(name: string, bytes: Bytes): Promise<void> {
    await mkdir(this.folder, { recursive: true });
    await writeFile(`${this.#path(name)}.new`, bytes);
    await rename(`${this.#path(name)}.new`, this.#path(name));
  }

  delete(name: string): Promise<void> {
    return rm(this.#path(name), { force: true });
  }

  async names(): Promise<readonly string[]> {
    const found = await readdir(this.folder).catch(() => []);
    return found.map((name) => decodeURIComponent(name.replace(/\.json$/, "")));
  }

  #path(name: string): string {
    // Attacks on lost metadata look for files of that ending; the state is kept from them.
    return join(this.folder, encodeURIComponent(name) + (name === "state" ? "" : ".json"));
  }
}

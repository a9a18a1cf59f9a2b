import { encode, sha256, type Bytes } from "./bytes.ts";
import { InputError, RefusedError, UnavailableError } from "./errors.ts";
import type { Http } from "./http.ts";
import { believed, LIMITS, read } from "./metadata.ts";
import type { Delegated, Kinds, Meta, Role, Root, Snapshot, Targets, Timestamp } from "./metadata.ts";
import { notBefore, notOlder, RENEWING, sameSigners, type Seen } from "./seen.ts";
import type { Store } from "./stores.ts";

/** This code was not there before (milliseconds since 1970); raised with every release of edgeship. */
export const BUILT = Date.UTC(2026, 10, 21);
/** A timestamp was signed no later than this before it expires, whatever the clock says. */
const TIMESTAMP_LIFE = 86_400_000;
const MOST_ROOTS = 256;
const MOST_DELEGATIONS = 32;

/** A file of a repository, as it was signed. */
export interface Target {
  readonly path: string;
  readonly sha256: string;
  readonly length: number;
}

/** A root that was given by hand. @throws InputError for what is none, or is not signed by enough of its own keys. */
export async function pinned(bytes: Bytes): Promise<Root> {
  try {
    if (bytes.length > LIMITS.root) throw new RefusedError("it is too large");
    return await ownRoot(bytes);
  } catch (error) {
    if (!(error instanceof RefusedError)) throw error;
    throw new InputError(`that is no root of a repository: ${error.message}`, "Give its metadata/1.root.json.");
  }
}

async function ownRoot(bytes: Bytes): Promise<Root> {
  const found = read("root", bytes);
  return believed(found, found.content.keys, found.content.roles.root);
}

/**
 * What a repository says at one moment, verified: the client workflow of the TUF specification (1.0.34, section 5).
 * `refresh` comes first.
 *
 * @param root that is believed.
 * @param http reaches the repository.
 * @param store keeps metadata by name; what lies there is verified again, and fetched where it is lost or damaged.
 * @param now what the clock says.
 * @param seen what was seen before; undefined: nothing, or that was lost.
 */
export class Repository {
  #root!: Root;
  #timestamp!: Timestamp;
  #snapshot!: Snapshot;
  #targets!: Targets;

  constructor(
    private readonly root: Root,
    private readonly http: Http,
    private readonly store: Store,
    private readonly now: number,
    private readonly seen: Seen | undefined,
  ) {}

  /**
   * Bring the metadata up to date. Asks for two files where nothing is new.
   *
   * @throws UnavailableError no answer, none of a repository, or a clock that is behind what has passed.
   * @throws RefusedError what it says is not signed, not fresh, or older than what was seen.
   */
  async refresh(): Promise<Seen> {
    const floor = Math.max(BUILT, this.seen?.passed ?? 0);
    if (this.now < floor) {
      const [said, passed] = [this.now, floor].map((moment) => new Date(moment).toISOString());
      throw new UnavailableError(`the clock says ${said ?? ""}, and ${passed ?? ""} has passed already`, "Set the clock.");
    }
    await this.#walk();
    this.#fresh(this.#root, "root");
    const keys = await this.#signers();
    if (this.seen && !sameSigners(this.seen.keys, keys)) {
      // Section 5.3.11: after a rotation what the old keys signed is no floor, or a thief could set one forever.
      await this.store.delete("timestamp");
      await this.store.delete("snapshot");
    }
    await this.#loadTimestamp();
    await this.#loadSnapshot();
    this.#targets = await this.#loadTargets("targets", this.#root.keys, this.#root.roles.targets);
    const found = this.#see(keys);
    notBefore(this.seen, found);
    return found;
  }

  /** A file that the role `targets` itself has signed: no delegated role can say what a release is. */
  offline(path: string): Target | undefined {
    return target(this.#targets, path);
  }

  /** A file that whoever is trusted with its path has signed (section 5.6.7). */
  async delegated(path: string): Promise<Target | undefined> {
    const digest = await sha256(encode(path));
    const visited = new Set<string>();
    const waiting: { name: string; load: () => Promise<Targets> }[] = [
      { name: "targets", load: () => Promise.resolve(this.#targets) },
    ];
    for (let next = waiting.pop(); next && visited.size <= MOST_DELEGATIONS; next = waiting.pop()) {
      if (visited.has(next.name)) continue;
      visited.add(next.name);
      const found = await next.load();
      const here = target(found, path);
      if (here) return here;
      const { roles, keys } = found.delegations ?? { roles: [], keys: new Map() };
      const trusted = roles.filter((role) => matches(role, path, digest));
      const end = trusted.findIndex((role) => role.terminating);
      if (end >= 0) {
        trusted.length = end + 1;
        waiting.length = 0;
      }
      for (const role of trusted.reverse()) {
        waiting.push({ name: role.name, load: () => this.#loadTargets(role.name, keys, role) });
      }
    }
    return undefined;
  }

  /** Section 5.3: from the pinned root to the newest, each signed by the one before and by itself. */
  async #walk(): Promise<void> {
    this.#root = this.root;
    for (let walked = 0; walked < MOST_ROOTS; walked++) {
      const version = this.#root.version + 1;
      const name = `root.${version}`;
      const kept = await this.store.get(name);
      const next = kept && (await this.#nextRoot(kept).catch(lost));
      if (next) {
        this.#root = next;
        continue;
      }
      const bytes = await this.http.metadata(`${version}.root.json`, LIMITS.root);
      if (!bytes) return;
      this.#root = await this.#nextRoot(bytes);
      await this.store.put(name, bytes);
    }
  }

  async #nextRoot(bytes: Bytes): Promise<Root> {
    await believed(read("root", bytes), this.#root.keys, this.#root.roles.root);
    const found = await ownRoot(bytes);
    checkVersion("root", found.version, this.#root.version + 1);
    return found;
  }

  /** Section 5.4. */
  async #loadTimestamp(): Promise<void> {
    const before = await this.#kept("timestamp");
    const bytes = await this.#fetch("timestamp.json", LIMITS.timestamp);
    const after = await this.#signed("timestamp", bytes);
    if (before) {
      notOlder("timestamp", after.version, before.version);
      notOlder("snapshot", after.meta["snapshot.json"].version, before.meta["snapshot.json"].version);
    }
    // Of one version the first is kept (5.4.3.1).
    this.#timestamp = before?.version === after.version ? before : after;
    this.#fresh(this.#timestamp, "timestamp");
    if (this.#timestamp === after) await this.store.put("timestamp", bytes);
  }

  /** Section 5.5. */
  async #loadSnapshot(): Promise<void> {
    const meta = this.#timestamp.meta["snapshot.json"];
    const before = await this.#kept("snapshot");
    const kept = before?.version === meta.version ? await this.store.get("snapshot") : undefined;
    const known = kept && (await isWhat(kept, meta)) ? kept : undefined;
    const bytes = known ?? (await this.#fetchAs(`${meta.version}.snapshot.json`, meta, LIMITS.snapshot));
    const after = await this.#signed("snapshot", bytes);
    checkVersion("snapshot", after.version, meta.version);
    for (const [name, { version }] of before?.meta ?? []) notOlder(name, after.meta.get(name)?.version ?? 0, version);
    this.#fresh(after, "snapshot");
    this.#snapshot = after;
    if (!known) await this.store.put("snapshot", bytes);
  }

  /** Section 5.6: metadata of `targets`, or of a role that it trusts, as the snapshot names it. */
  async #loadTargets(name: string, keys: Root["keys"], role: Role): Promise<Targets> {
    const meta = this.#snapshot.meta.get(`${name}.json`);
    if (!meta) throw new RefusedError(`the snapshot does not name ${name}`);
    const load = async (bytes: Bytes): Promise<Targets> => {
      const found = await believed(read("targets", bytes, name), keys, role);
      checkVersion(name, found.version, meta.version);
      this.#fresh(found, name);
      return found;
    };
    const place = `targets.${name}`;
    const kept = await this.store.get(place);
    const known = kept && (await isWhat(kept, meta)) ? await load(kept).catch(lost) : undefined;
    if (known) return known;
    const bytes = await this.#fetchAs(`${meta.version}.${encodeURIComponent(name)}.json`, meta, LIMITS.targets);
    const found = await load(bytes);
    await this.store.put(place, bytes);
    return found;
  }

  /** Metadata that were verified before and are still signed by today's keys. */
  async #kept<K extends "timestamp" | "snapshot">(kind: K): Promise<Kinds[K] | undefined> {
    const bytes = await this.store.get(kind);
    return bytes && this.#signed(kind, bytes).catch(lost);
  }

  async #signed<K extends "timestamp" | "snapshot">(kind: K, bytes: Bytes): Promise<Kinds[K]> {
    return believed(read(kind, bytes), this.#root.keys, this.#root.roles[kind]);
  }

  #fresh({ expires }: { expires: number }, name: string): void {
    if (this.now < expires) return;
    const when = new Date(expires).toISOString();
    throw new RefusedError(`${name} expired at ${when}`, "Its publisher has not renewed it, or this clock is ahead.");
  }

  async #fetch(name: string, limit: number): Promise<Bytes> {
    const found = await this.http.metadata(name, limit);
    if (!found) throw new UnavailableError(`${name} is not there`, "Is that the address of a repository?");
    return found;
  }

  /** Fetch what other metadata describe. */
  async #fetchAs(name: string, meta: Meta, limit: number): Promise<Bytes> {
    const found = await this.#fetch(name, Math.min(meta.length ?? limit, limit));
    if (!(await isWhat(found, meta))) throw new RefusedError(`${name} is not what was signed`);
    return found;
  }

  /** Who signs for the roles whose replacement begins anew. */
  #signers(): Promise<Seen["keys"]> {
    return Promise.all(RENEWING.map((role) => sha256(encode([...this.#root.roles[role].keyids].sort().join(" ")))));
  }

  #see(keys: Seen["keys"]): Seen {
    const versions = new Map([...this.#snapshot.meta].map(([name, { version }]) => [name, version]));
    versions.set("timestamp.json", this.#timestamp.version).set("snapshot.json", this.#snapshot.version);
    // Not `now`: a clock that runs ahead would prove what has not happened, and stop all checks once it is right again.
    const passed = Math.min(this.now, this.#timestamp.expires - TIMESTAMP_LIFE);
    return { passed, root: this.#root.version, keys, versions };
  }
}

/** What lies in the store and is not believed any more is as good as lost. */
function lost(error: unknown): undefined {
  if (!(error instanceof RefusedError)) throw error;
}

function checkVersion(name: string, version: number, named: number): void {
  if (version !== named) throw new RefusedError(`${name} ${named} says that it is version ${version}`);
}

async function isWhat(bytes: Bytes, { length, hashes }: Meta): Promise<boolean> {
  return (length ?? bytes.length) === bytes.length && (!hashes || hashes.sha256 === (await sha256(bytes)));
}

function target({ targets }: Targets, path: string): Target | undefined {
  const found = targets.get(path);
  return found && { path, sha256: found.hashes.sha256, length: found.length };
}

/** Whether a delegation is for a path: one of its patterns, part by part, or a beginning of the path's SHA-256. */
function matches({ paths, path_hash_prefixes }: Delegated, path: string, digest: string): boolean {
  if (path_hash_prefixes) return path_hash_prefixes.some((prefix) => digest.startsWith(prefix));
  return !!paths?.some((pattern) => glob(pattern).test(path));
}

/** `*`, `?` and `[...]`, none of which stands for a slash. */
function glob(pattern: string): RegExp {
  const source = pattern.replace(/\*+|\?|\[(!?)(\]?[^\]/]*)\]|[^]/gu, (part, not?: string, set?: string) => {
    if (set !== undefined) return `(?!/)[${not ? "^" : ""}${set.replace(/[\\\]^[&~]/g, "\\$&")}]`;
    if (part.startsWith("*")) return "[^/]*";
    return part === "?" ? "[^/]" : part.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
  });
  return new RegExp(`^${source}$`, "u");
}

package dev.edgeship.client;

import dev.edgeship.client.Metadata.Content;
import dev.edgeship.client.Metadata.Delegated;
import dev.edgeship.client.Metadata.Meta;
import dev.edgeship.client.Metadata.Role;
import dev.edgeship.client.Metadata.Root;
import dev.edgeship.client.Metadata.Snapshot;
import dev.edgeship.client.Metadata.Target;
import dev.edgeship.client.Metadata.Targets;
import dev.edgeship.client.Metadata.Timestamp;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * What a repository says at one moment, verified: the client workflow of the TUF specification (1.0.34, section 5).
 * {@link #refresh} comes first.
 */
final class Repository {
    /** This code was not there before (2026-11-21, milliseconds since 1970); raised with every release of edgeship. */
    static final long BUILT = 1_795_219_200_000L;
    /** A timestamp was signed no later than this before it expires, whatever the clock says. */
    private static final long TIMESTAMP_LIFE = 86_400_000;
    private static final int MOST_ROOTS = 256;
    private static final int MOST_DELEGATIONS = 32;

    private final Source source;
    private final Store store;
    private final long now;
    private final Seen seen;
    private Root root;
    private Timestamp timestamp;
    private Snapshot snapshot;
    private Targets targets;

    /** Reads metadata that were signed by whoever may. */
    private interface Load<T> {
        T load(byte[] bytes) throws UpdateException;
    }

    /** Metadata of a role that is asked next. */
    private static final class Visit {
        final String name;
        final Map<String, Key> keys;
        final Role role;

        Visit(String name, Map<String, Key> keys, Role role) {
            this.name = name;
            this.keys = keys;
            this.role = role;
        }
    }

    /**
     * @param root that is believed.
     * @param source reaches the repository.
     * @param store keeps metadata by name; what lies there is verified again, and fetched where it is lost or damaged.
     * @param now what the clock says, milliseconds since 1970.
     * @param seen what was seen before; null: nothing, or that was lost.
     */
    Repository(Root root, Source source, Store store, long now, Seen seen) {
        this.root = root;
        this.source = source;
        this.store = store;
        this.now = now;
        this.seen = seen;
    }

    /** A root that was given by hand, if it is signed by enough of its own keys. */
    static Root pinned(byte[] bytes) throws InputException {
        try {
            if (bytes.length > Metadata.ROOT_BYTES) throw new RefusedException("it is too large");
            return ownRoot(bytes);
        } catch (RefusedException error) {
            String said = "that is no root of a repository: " + error.getMessage();
            throw new InputException(said, "Give its metadata/1.root.json.", error);
        }
    }

    private static Root ownRoot(byte[] bytes) throws RefusedException {
        Metadata<Root> found = Metadata.root(bytes);
        return found.believed(found.content.keys, found.content.role("root"));
    }

    /**
     * Brings the metadata up to date. Asks for two files where nothing is new.
     *
     * @throws UnavailableException no answer, none of a repository, or a clock that is behind what has passed.
     * @throws RefusedException what it says is not signed, not fresh, or older than what was seen.
     */
    Seen refresh() throws UpdateException {
        checkClock();
        walk();
        checkFresh(root, "root");
        List<String> keys = signers();
        if (seen != null && !Seen.sameSigners(seen.keys, keys)) {
            // Section 5.3.11: after a rotation what the old keys signed is no floor, or a thief could set one forever.
            store.delete("timestamp");
            store.delete("snapshot");
        }
        loadTimestamp();
        loadSnapshot();
        targets = loadTargets(new Visit("targets", root.keys, root.role("targets")));
        Seen found = see(keys);
        Seen.notBefore(seen, found);
        return found;
    }

    private void checkClock() throws UnavailableException {
        long floor = Math.max(BUILT, seen == null ? 0 : seen.passed);
        if (now >= floor) return;
        String said = "the clock says " + Instant.ofEpochMilli(now) + ", and " + Instant.ofEpochMilli(floor);
        throw new UnavailableException(said + " has passed already", "Set the clock.");
    }

    /** A file that the role {@code targets} itself has signed: no delegated role can say what a release is. */
    Target offline(String path) {
        return targets.target(path);
    }

    /** A file that whoever is trusted with its path has signed (section 5.6.7); null where there is none. */
    Target delegated(String path) throws UpdateException {
        Set<String> visited = new HashSet<>();
        Deque<Visit> waiting = new ArrayDeque<>();
        waiting.push(new Visit("targets", root.keys, root.role("targets")));
        while (!waiting.isEmpty() && visited.size() <= MOST_DELEGATIONS) {
            Visit next = waiting.pop();
            if (!visited.add(next.name)) continue;
            Targets found = next.name.equals("targets") ? targets : loadTargets(next);
            Target here = found.target(path);
            if (here != null) return here;
            List<Delegated> trusted = new ArrayList<>();
            for (Delegated role : found.roles) {
                if (!role.matches(path)) continue;
                trusted.add(role);
                if (!role.terminating) continue;
                waiting.clear();
                break;
            }
            Collections.reverse(trusted);
            for (Delegated role : trusted) waiting.push(new Visit(role.name, found.keys, role));
        }
        return null;
    }

    /** Section 5.3: from the pinned root to the newest, each signed by the one before and by itself. */
    private void walk() throws UpdateException {
        for (int walked = 0; walked < MOST_ROOTS; walked++) {
            long version = root.version + 1;
            Root kept = kept("root." + version, this::nextRoot);
            if (kept != null) {
                root = kept;
                continue;
            }
            byte[] bytes = source.metadata(version + ".root.json", Metadata.ROOT_BYTES);
            if (bytes == null) return;
            root = nextRoot(bytes);
            store.put("root." + version, bytes);
        }
    }

    private Root nextRoot(byte[] bytes) throws RefusedException {
        Metadata.root(bytes).believed(root.keys, root.role("root"));
        Root found = ownRoot(bytes);
        checkVersion("root", found.version, root.version + 1);
        return found;
    }

    /** Section 5.4. */
    private void loadTimestamp() throws UpdateException {
        Timestamp before = kept("timestamp", this::timestamp);
        byte[] bytes = fetch("timestamp.json", Metadata.TIMESTAMP_BYTES);
        Timestamp after = timestamp(bytes);
        if (before != null) {
            Seen.notOlder("timestamp", after.version, before.version);
            Seen.notOlder("snapshot", after.snapshot.version, before.snapshot.version);
        }
        // Of one version the first is kept (5.4.3.1).
        boolean same = before != null && before.version == after.version;
        timestamp = same ? before : after;
        checkFresh(timestamp, "timestamp");
        if (!same) store.put("timestamp", bytes);
    }

    /** Section 5.5. */
    private void loadSnapshot() throws UpdateException {
        Meta meta = timestamp.snapshot;
        Snapshot before = kept("snapshot", this::snapshot);
        byte[] kept = before != null && before.version == meta.version ? store.get("snapshot") : null;
        boolean known = kept != null && meta.is(kept);
        byte[] bytes = known ? kept : fetchAs(meta.version + ".snapshot.json", meta, Metadata.SNAPSHOT_BYTES);
        Snapshot after = snapshot(bytes);
        checkVersion("snapshot", after.version, meta.version);
        if (before != null) {
            for (String name : before.meta.keySet()) Seen.notOlder(name, after.version(name), before.version(name));
        }
        checkFresh(after, "snapshot");
        snapshot = after;
        if (!known) store.put("snapshot", bytes);
    }

    /** Section 5.6: metadata of {@code targets}, or of a role that it trusts, as the snapshot names it. */
    private Targets loadTargets(Visit of) throws UpdateException {
        Meta meta = snapshot.meta.get(of.name + ".json");
        if (meta == null) throw new RefusedException("the snapshot does not name " + of.name);
        Load<Targets> load = bytes -> {
            Targets found = Metadata.targets(bytes, of.name).believed(of.keys, of.role);
            checkVersion(of.name, found.version, meta.version);
            checkFresh(found, of.name);
            return found;
        };
        String place = "targets." + of.name;
        Targets known = kept(place, bytes -> meta.is(bytes) ? load.load(bytes) : null);
        if (known != null) return known;
        byte[] bytes = fetchAs(meta.version + "." + Paths.encoded(of.name) + ".json", meta, Metadata.TARGETS_BYTES);
        Targets found = load.load(bytes);
        store.put(place, bytes);
        return found;
    }

    /** Metadata that were verified before and are believed today; what lies there and is not is as good as lost. */
    private <T> T kept(String name, Load<T> load) throws UpdateException {
        byte[] bytes = store.get(name);
        try {
            return bytes == null ? null : load.load(bytes);
        } catch (RefusedException error) {
            return null;
        }
    }

    private Timestamp timestamp(byte[] bytes) throws RefusedException {
        return Metadata.timestamp(bytes).believed(root.keys, root.role("timestamp"));
    }

    private Snapshot snapshot(byte[] bytes) throws RefusedException {
        return Metadata.snapshot(bytes).believed(root.keys, root.role("snapshot"));
    }

    private void checkFresh(Content found, String name) throws RefusedException {
        if (now < found.expires) return;
        String said = name + " expired at " + Instant.ofEpochMilli(found.expires);
        throw new RefusedException(said, "Its publisher has not renewed it, or this clock is ahead.");
    }

    private static void checkVersion(String name, long version, long named) throws RefusedException {
        if (version != named) throw new RefusedException(name + " " + named + " says that it is version " + version);
    }

    private byte[] fetch(String name, long limit) throws UpdateException {
        byte[] found = source.metadata(name, limit);
        if (found != null) return found;
        throw new UnavailableException(name + " is not there", "Is that the address of a repository?");
    }

    /** Fetches what other metadata describe. */
    private byte[] fetchAs(String name, Meta meta, long limit) throws UpdateException {
        byte[] found = fetch(name, meta.length < 0 ? limit : Math.min(meta.length, limit));
        if (!meta.is(found)) throw new RefusedException(name + " is not what was signed");
        return found;
    }

    /** Who signs for the roles whose replacement begins anew. */
    private List<String> signers() {
        List<String> made = new ArrayList<>();
        for (String role : Seen.RENEWING) {
            made.add(Bytes.sha256(Bytes.encode(String.join(" ", new TreeSet<>(root.role(role).keyids)))));
        }
        return made;
    }

    private Seen see(List<String> keys) {
        Map<String, Long> versions = new LinkedHashMap<>();
        for (String name : snapshot.meta.keySet()) versions.put(name, snapshot.version(name));
        versions.put("timestamp.json", timestamp.version);
        versions.put("snapshot.json", snapshot.version);
        // Not `now`: a clock that runs ahead would prove what has not happened, and stop all checks once it is right again.
        long passed = Math.max(0, Math.min(now, timestamp.expires - TIMESTAMP_LIFE));
        return new Seen(passed, root.version, keys, versions);
    }
}

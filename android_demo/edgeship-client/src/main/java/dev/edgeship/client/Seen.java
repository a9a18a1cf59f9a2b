package dev.edgeship.client;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a client does not go back behind, kept apart from the metadata, which may be lost. */
final class Seen {
    /** Roles whose keys, once replaced, let a repository begin anew (TUF 5.3.11). */
    static final List<String> RENEWING = Arrays.asList("timestamp", "snapshot");

    /** A moment that has passed for certain, milliseconds since 1970. */
    final long passed;
    /** Newest version of root. */
    final long root;
    /** Who signs for the roles of {@link #RENEWING}, as digests. */
    final List<String> keys;
    /** File name of metadata to newest version. */
    final Map<String, Long> versions;

    Seen(long passed, long root, List<String> keys, Map<String, Long> versions) {
        this.passed = passed;
        this.root = root;
        this.keys = keys;
        this.versions = versions;
    }

    static Seen read(Node node) throws RefusedException {
        node.closed("passed", "root", "keys", "versions");
        return new Seen(
                node.field("passed").integer(0),
                node.field("root").integer(1),
                node.field("keys").list(0, 2, Node::text),
                node.field("versions").map(100_000, found -> found.integer(0)));
    }

    Map<String, Object> json() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("passed", passed);
        made.put("root", root);
        made.put("keys", keys);
        made.put("versions", versions);
        return made;
    }

    /** Whether the keys of timestamp and snapshot are those of before. */
    static boolean sameSigners(List<String> before, List<String> now) {
        return before.equals(now);
    }

    /** Refuses metadata older than what was seen. */
    static void notOlder(String name, long version, long known) throws RefusedException {
        if (version >= known) return;
        throw new RefusedException(
                "the repository's " + name + " is version " + version + ", and " + known + " was seen already",
                "It was set back, or somebody replays an old one. Nothing was changed.");
    }

    /** Refuses a repository that is older than what was seen of it, whatever metadata were lost here. */
    static void notBefore(Seen before, Seen now) throws RefusedException {
        if (before == null) return;
        notOlder("root", now.root, before.root);
        if (!sameSigners(before.keys, now.keys)) return;
        for (Map.Entry<String, Long> each : before.versions.entrySet()) {
            Long found = now.versions.get(each.getKey());
            notOlder(each.getKey(), found == null ? 0 : found, each.getValue());
        }
    }
}

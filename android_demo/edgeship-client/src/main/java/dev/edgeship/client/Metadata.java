package dev.edgeship.client;

import java.time.DateTimeException;
import java.time.Instant;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** TUF metadata that were read and not yet believed. {@code T} is what they say. */
final class Metadata<T extends Metadata.Content> {
    /** Largest metadata of each role, in bytes (docs/updates/repository.md). */
    static final int ROOT_BYTES = 512_000;
    static final int TIMESTAMP_BYTES = 16_384;
    static final int SNAPSHOT_BYTES = 2_000_000;
    static final int TARGETS_BYTES = 5_000_000;

    private static final int MANY = 100_000;
    private static final int MOST_SIGNATURES = 1024;
    private static final List<String> TOP_LEVEL = Arrays.asList("root", "timestamp", "snapshot", "targets");
    private static final Pattern MOMENT = Pattern.compile("\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}Z");
    private static final Pattern SPECIFICATION = Pattern.compile("1\\..*");
    private static final Pattern DIGEST = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern PREFIX = Pattern.compile("[0-9a-f]{0,64}");

    final String name;
    final T content;
    /** What the signatures are about. */
    private final byte[] bytes;
    /** Key id to signature. */
    private final Map<String, String> signatures;

    private Metadata(String name, T content, byte[] bytes, Map<String, String> signatures) {
        this.name = name;
        this.content = content;
        this.bytes = bytes;
        this.signatures = signatures;
    }

    static Metadata<Root> root(byte[] bytes) throws RefusedException {
        return read("root", "root", bytes, Root::new);
    }

    static Metadata<Timestamp> timestamp(byte[] bytes) throws RefusedException {
        return read("timestamp", "timestamp", bytes, Timestamp::new);
    }

    static Metadata<Snapshot> snapshot(byte[] bytes) throws RefusedException {
        return read("snapshot", "snapshot", bytes, Snapshot::new);
    }

    static Metadata<Targets> targets(byte[] bytes, String name) throws RefusedException {
        return read("targets", name, bytes, Targets::new);
    }

    private static <T extends Content> Metadata<T> read(String kind, String name, byte[] bytes, Node.Read<T> content)
            throws RefusedException {
        Node envelope = Node.parse(bytes, name);
        Node signed = envelope.field("signed");
        Map<String, String> signatures = new HashMap<>();
        for (Node each : envelope.field("signatures").list(0, MOST_SIGNATURES, node -> node)) {
            if (signatures.put(each.field("keyid").text(), each.field("sig").text()) != null) {
                throw new RefusedException(name + " has two signatures of one key");
            }
        }
        String type = signed.field("_type").text();
        if (!type.equals(kind)) throw new RefusedException(name + " is " + type + ", not " + kind);
        return new Metadata<>(name, content.read(signed), Json.canonical(signed.value), signatures);
    }

    /**
     * Believe metadata that enough keys of a role have signed. A key counts once, whatever ids it has.
     *
     * @throws RefusedException where they are too few.
     */
    T believed(Map<String, Key> keys, Role role) throws RefusedException {
        Set<String> by = new HashSet<>();
        for (String keyid : role.keyids) {
            Key known = keys.get(keyid);
            String signature = signatures.get(keyid);
            if (known != null && signature != null && known.verify(signature, bytes)) by.add(known.material);
        }
        if (by.size() < role.threshold) {
            String said = name + " is signed by " + by.size() + " of the keys that may, " + role.threshold + " are needed";
            throw new RefusedException(said);
        }
        return content;
    }

    /** {@code YYYY-MM-DDThh:mm:ssZ}, as milliseconds since 1970. */
    static long moment(Node node) throws RefusedException {
        String given = node.text(MOMENT);
        try {
            Instant found = Instant.parse(given);
            // The 30th of February and the 24th hour are none.
            if (found.toString().equals(given)) return found.toEpochMilli();
        } catch (DateTimeException error) {
            // said below
        }
        throw node.unfit("a moment such as 2026-11-20T10:00:00Z");
    }

    static String digest(Node node) throws RefusedException {
        return node.text(DIGEST);
    }

    private static String sha256(Node node) throws RefusedException {
        return digest(node.field("sha256"));
    }

    /** What all metadata say. */
    abstract static class Content {
        final long version;
        /** Milliseconds since 1970. */
        final long expires;

        Content(Node node) throws RefusedException {
            version = node.field("version").integer(1);
            expires = moment(node.field("expires"));
            node.field("spec_version").text(SPECIFICATION);
        }
    }

    /** Who signs for a role. */
    static class Role {
        final List<String> keyids;
        final long threshold;

        Role(Node node) throws RefusedException {
            keyids = node.field("keyids").list(0, MANY, Node::text);
            threshold = node.field("threshold").integer(1);
            if (new HashSet<>(keyids).size() != keyids.size()) throw node.unfit("with each key once");
        }
    }

    static final class Root extends Content {
        final Map<String, Key> keys;
        private final Map<String, Role> roles;

        Root(Node node) throws RefusedException {
            super(node);
            Node consistent = node.field("consistent_snapshot");
            if (!consistent.flag()) throw consistent.unfit("true: every file has a name of its own");
            keys = node.field("keys").map(MANY, Key::read);
            roles = new HashMap<>();
            for (String name : TOP_LEVEL) roles.put(name, new Role(node.field("roles").field(name)));
        }

        Role role(String name) {
            return roles.get(name);
        }
    }

    /** What is said about other metadata: length is -1 and the digest null where they are missing. */
    static final class Meta {
        final long version;
        final long length;
        final String sha256;

        Meta(Node node) throws RefusedException {
            version = node.field("version").integer(1);
            Long said = node.optional("length", found -> found.integer(0));
            length = said == null ? -1 : said;
            sha256 = node.optional("hashes", Metadata::sha256);
        }

        boolean is(byte[] found) {
            return (length < 0 || length == found.length) && (sha256 == null || sha256.equals(Bytes.sha256(found)));
        }
    }

    static final class Timestamp extends Content {
        final Meta snapshot;

        Timestamp(Node node) throws RefusedException {
            super(node);
            snapshot = new Meta(node.field("meta").closed("snapshot.json").field("snapshot.json"));
        }
    }

    static final class Snapshot extends Content {
        final Map<String, Meta> meta;

        Snapshot(Node node) throws RefusedException {
            super(node);
            meta = node.field("meta").map(MANY, Meta::new);
        }

        long version(String name) {
            return meta.containsKey(name) ? meta.get(name).version : 0;
        }
    }

    /** A file of a repository, as it was signed. */
    static final class Target {
        final String path;
        final String sha256;
        final long length;

        Target(String path, Node node) throws RefusedException {
            this.path = path;
            length = node.field("length").integer(0);
            sha256 = sha256(node.field("hashes"));
        }

        private static String sha256(Node node) throws RefusedException {
            return Metadata.sha256(node);
        }
    }

    static final class Targets extends Content {
        private final Map<String, Target> targets = new HashMap<>();
        /** Keys and roles that are trusted with some paths. */
        final Map<String, Key> keys;
        final List<Delegated> roles;

        Targets(Node node) throws RefusedException {
            super(node);
            Map<String, Node> found = node.field("targets").map(MANY, each -> each);
            for (Map.Entry<String, Node> each : found.entrySet()) {
                targets.put(each.getKey(), new Target(each.getKey(), each.getValue()));
            }
            if (node.has("delegations")) {
                // Closed: succinct_roles are not taken (docs/security.md).
                Node delegations = node.field("delegations").closed("keys", "roles");
                keys = delegations.field("keys").map(MANY, Key::read);
                roles = delegations.field("roles").list(0, MANY, Delegated::new);
            } else {
                keys = Collections.emptyMap();
                roles = Collections.emptyList();
            }
        }

        /** A file that these metadata name; null where they do not. */
        Target target(String path) {
            return targets.get(path);
        }
    }

    /** A role that another one trusts with some paths. */
    static final class Delegated extends Role {
        final String name;
        final boolean terminating;
        private final List<String> paths;
        private final List<String> prefixes;

        Delegated(Node node) throws RefusedException {
            super(node);
            name = node.field("name").text();
            terminating = node.field("terminating").flag();
            paths = node.optional("paths", found -> found.list(0, MANY, Node::text));
            prefixes = node.optional("path_hash_prefixes", found -> found.list(0, MANY, each -> each.text(PREFIX)));
            if ((paths == null) == (prefixes == null)) throw node.unfit("with either paths or path_hash_prefixes");
            if (TOP_LEVEL.contains(name) || name.isEmpty()) throw node.field("name").unfit("of no top-level role");
        }

        /** Whether it is for a path: one of its patterns, part by part, or a beginning of the path's SHA-256. */
        boolean matches(String path) {
            if (prefixes != null) {
                String digest = Bytes.sha256(Bytes.encode(path));
                return prefixes.stream().anyMatch(digest::startsWith);
            }
            return paths.stream().anyMatch(pattern -> Glob.matches(pattern, path));
        }
    }
}

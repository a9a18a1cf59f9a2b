package dev.edgeship.client;

import java.util.Collections;
import java.util.List;

/** What the offline role says of a line, {@code edgeship.policy/1}: no client goes below the floor or takes what is revoked. */
final class Policy {
    static final int MOST = 1000;

    final long major;
    final Version floor;
    final List<Version> revoked;

    Policy(long major, Version floor, List<Version> revoked) {
        this.major = major;
        this.floor = floor;
        this.revoked = revoked;
    }

    /** What holds where a repository has none. */
    static Policy none(Line of) {
        return new Policy(of.major, new Version(of.major, 0, 0), Collections.emptyList());
    }

    static Policy read(byte[] bytes, Line of) throws RefusedException {
        Node node = Node.parse(bytes, "the policy").closed("schema", "model", "major", "floor", "revoked");
        node.field("schema").oneOf("edgeship.policy/1");
        of.check(node);
        return new Policy(of.major, of.version(node.field("floor")), node.field("revoked").list(0, MOST, of::version));
    }

    /** Whether a release may run: in the line, not below the floor, not revoked. */
    boolean allows(Version release) {
        return release.major == major && release.compareTo(floor) >= 0 && !revoked.contains(release);
    }
}

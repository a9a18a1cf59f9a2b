package dev.edgeship.client;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** All that a client knows between two calls, but for metadata and files. Changed by {@link #with}, never in place. */
final class State implements Cloneable {
    private static final String SCHEMA = "edgeship.jvm/1";
    /** Failures that are remembered; an older one may be tried again. */
    private static final int MOST_FAILED = 64;
    private static final int LONGEST_REASON = 1000;
    /** A release that took too much time is tried so often, with so many milliseconds between. */
    private static final int MOST_TIMES = 3;
    private static final long PAUSE = 24 * 3_600_000L;
    private static final Pattern INSTALL_ID = Pattern.compile("[0-9a-f]{32}");

    /** Of a release that failed here: when (milliseconds since 1970), and how often it took too much time; 0: else. */
    static final class Failed {
        final String manifest;
        final String reason;
        final long at;
        final long times;

        Failed(String manifest, String reason, long at, long times) {
            this.manifest = manifest;
            this.reason = reason.substring(0, Math.min(reason.length(), LONGEST_REASON));
            this.at = at;
            this.times = times;
        }

        boolean isForGood() {
            return times == 0 || times >= MOST_TIMES;
        }
    }

    /** How the probation of the active release goes: since when (milliseconds since 1970), what served, what failed. */
    static final class Trial {
        final long since;
        final long starts;
        final long failures;

        Trial(long since, long starts, long failures) {
            this.since = since;
            this.starts = starts;
            this.failures = failures;
        }
    }

    final String line;
    String installId;
    Seen seen;
    Version floor;
    List<Version> revoked = Collections.emptyList();
    Held active;
    Held previous;
    /** Of the active release; null: it is trusted. */
    Trial trial;
    List<Failed> failed = Collections.emptyList();

    /** Changes a copy. */
    interface Change {
        void on(State copy) throws UpdateException;
    }

    /** What a client knows at first; its install id is drawn anew. */
    State(String line) {
        this.line = line;
        byte[] random = new byte[16];
        new SecureRandom().nextBytes(random);
        installId = Bytes.hex(random);
    }

    private State(Node node) throws RefusedException {
        node.closed("schema", "line", "install_id", "seen", "floor", "revoked", "active", "previous", "trial", "failed");
        node.field("schema").oneOf(SCHEMA);
        line = node.field("line").text();
        installId = node.field("install_id").text(INSTALL_ID);
        seen = node.nullable("seen", Seen::read);
        floor = node.nullable("floor", Version::read);
        revoked = node.field("revoked").list(0, Policy.MOST, Version::read);
        active = node.nullable("active", Held::read);
        previous = node.nullable("previous", Held::read);
        trial = node.nullable("trial", found -> new Trial(
                found.field("since").integer(0), found.field("starts").integer(0), found.field("failures").integer(0)));
        failed = node.field("failed").list(0, MOST_FAILED, found -> new Failed(
                Metadata.digest(found.field("manifest")), found.field("reason").text(),
                found.field("at").integer(0), found.field("times").integer(0)));
    }

    static State read(byte[] bytes) throws RefusedException {
        return new State(Node.parse(bytes, "state"));
    }

    State with(Change change) throws UpdateException {
        try {
            State copy = (State) clone();
            change.on(copy);
            return copy;
        } catch (CloneNotSupportedException error) {
            throw new IllegalStateException(error); // it is Cloneable
        }
    }

    byte[] written() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("schema", SCHEMA);
        made.put("line", line);
        made.put("install_id", installId);
        made.put("seen", seen == null ? null : seen.json());
        made.put("floor", floor == null ? null : floor.toString());
        List<Object> names = new ArrayList<>();
        for (Version each : revoked) names.add(each.toString());
        made.put("revoked", names);
        made.put("active", active == null ? null : active.json());
        made.put("previous", previous == null ? null : previous.json());
        made.put("trial", trial == null ? null
                : object("since", trial.since, "starts", trial.starts, "failures", trial.failures));
        List<Object> failures = new ArrayList<>();
        for (Failed each : failed) {
            failures.add(object("manifest", each.manifest, "reason", each.reason, "at", each.at, "times", each.times));
        }
        made.put("failed", failures);
        try {
            return Json.written(made);
        } catch (RefusedException error) {
            throw new IllegalStateException(error); // all texts of a state were checked or are ours
        }
    }

    private static Map<String, Object> object(Object... pairs) {
        Map<String, Object> made = new LinkedHashMap<>();
        for (int at = 0; at < pairs.length; at += 2) made.put((String) pairs[at], pairs[at + 1]);
        return made;
    }

    /** Whether a release failed here for good. */
    boolean hasFailed(String manifest) {
        return failed.stream().anyMatch(each -> each.manifest.equals(manifest) && each.isForGood());
    }

    /** Whether a release is not to be tried now. */
    boolean isBarred(String manifest, long now) {
        return failed.stream().anyMatch(each -> each.manifest.equals(manifest) && (each.isForGood() || now < each.at + PAUSE));
    }

    /** That a release failed here, too, for good; for {@link #with}. */
    void fail(String manifest, String reason, long now) {
        add(manifest, reason, now, 0);
    }

    /** That a release took too much time here, and may pass on another day; for {@link #with}. */
    void failForNow(String manifest, String reason, long now) {
        long before = failed.stream().filter(each -> each.manifest.equals(manifest)).mapToLong(each -> each.times).sum();
        add(manifest, reason, now, before + 1);
    }

    private void add(String manifest, String reason, long now, long times) {
        forgive(manifest);
        List<Failed> made = new ArrayList<>(failed);
        // What a runtime says may be no Unicode, which could not be written.
        made.add(new Failed(manifest, new String(Bytes.encode(reason), StandardCharsets.UTF_8), now, times));
        failed = made.subList(Math.max(0, made.size() - MOST_FAILED), made.size());
    }

    /** That a release has not failed here; for {@link #with}. */
    void forgive(String manifest) {
        List<Failed> made = new ArrayList<>(failed);
        made.removeIf(each -> each.manifest.equals(manifest));
        failed = made;
    }

    /** Whether the policy that was seen last lets a release run. */
    boolean allows(Version release) {
        return new Policy(release.major, floor == null ? new Version(release.major, 0, 0) : floor, revoked).allows(release);
    }
}

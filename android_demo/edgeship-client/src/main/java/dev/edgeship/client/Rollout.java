package dev.edgeship.client;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** Who gets which release of a line, {@code edgeship.rollout/1} (docs/updates/repository.md). */
final class Rollout {
    /** Bytes of a policy or rollout. */
    static final int DOCUMENT_BYTES = 64 << 10;
    /** Places in a draw: shares are given in hundredths of a percent. */
    private static final int PLACES = 10_000;
    private static final int MOST_ARMS = 8;
    private static final Pattern NAME = Pattern.compile("[!-~]{1,64}");

    private final String model;
    private final String name;
    private final boolean halted;
    private final Version stable;
    private final List<Arm> arms;
    private final Map<String, Version> channels;
    private final List<String> variants;
    /** Milliseconds since 1970; null: at once. */
    private final Long notBefore;

    private static final class Arm {
        final Version version;
        final long places;

        Arm(Version version, long places) {
            this.version = version;
            this.places = places;
        }
    }

    /** A client, as far as rollouts tell clients apart. None of this leaves it. */
    static final class Member {
        /** 32 lowercase hexadecimal digits, random. */
        final String installId;
        /** That it can run, best first. */
        final List<String> variants;
        /** That a person put it into; null: none. */
        final String channel;

        Member(String installId, List<String> variants, String channel) {
            this.installId = installId;
            this.variants = variants;
            this.channel = channel;
        }
    }

    /** Versions that a client should run, allowed by the policy, best first; and why the first is. */
    static final class Wish {
        final Set<Version> versions = new LinkedHashSet<>();
        final Outcome.Reason reason;

        private Wish(Version wanted, Outcome.Reason reason) {
            versions.add(wanted);
            this.reason = reason;
        }
    }

    private Rollout(Node node, Line of) throws RefusedException {
        node.closed("schema", "model", "major", "rollout", "state", "stable", "arms", "channels", "constraints");
        node.field("schema").oneOf("edgeship.rollout/1");
        of.check(node);
        model = of.model;
        name = node.field("rollout").text(NAME);
        halted = node.field("state").oneOf("running", "halted").equals("halted");
        stable = of.version(node.field("stable"));
        Node given = node.field("arms");
        int count = given.list(0, MOST_ARMS, each -> each).size();
        arms = given.list(0, MOST_ARMS, each -> arm(each.closed("version", "percent"), of, count));
        channels = node.field("channels").map(Policy.MOST, of::version);
        for (String channel : channels.keySet()) new Node(channel, node.at + ".channels").text(Line.CHANNEL);
        Node constraints = node.field("constraints").closed("variants", "not_before");
        variants = constraints.field("variants")
                .list(0, Policy.MOST, each -> each.text(Line.VARIANT, Line.VARIANT_LENGTH));
        notBefore = constraints.nullable("not_before", Metadata::moment);
    }

    static Rollout read(byte[] bytes, Line of) throws RefusedException {
        return new Rollout(Node.parse(bytes, "the rollout"), of);
    }

    private static Arm arm(Node node, Line of, int count) throws RefusedException {
        double percent = node.field("percent").number(0, 100);
        long places = Math.round(percent * 100);
        if (percent > 100.0 / count || Math.abs(places - percent * 100) > 1e-6) {
            throw node.unfit("of 0 to " + 100.0 / count + " percent in steps of 0.01");
        }
        return new Arm(of.version(node.field("version")), places);
    }

    /** The place of a client in a rollout, of 10,000: uniform, and independent between rollouts and models. */
    static int draw(String rollout, String model, String installId) {
        String digest = Bytes.sha256(Bytes.encode(rollout + "\0" + model + "\0" + installId));
        return (int) (Long.parseLong(digest.substring(0, 12), 16) % PLACES);
    }

    /** What a client should run; {@code now} in milliseconds since 1970. */
    Wish wish(Policy policy, Member member, long now) {
        Wish found = choose(member, now);
        found.versions.add(stable);
        found.versions.removeIf(release -> !policy.allows(release));
        return found;
    }

    private Wish choose(Member member, long now) {
        if (halted) return new Wish(stable, Outcome.Reason.HALTED);
        boolean meets = variants.isEmpty() || variants.stream().anyMatch(member.variants::contains);
        if (!meets || (notBefore != null && now < notBefore)) return new Wish(stable, Outcome.Reason.CONSTRAINTS);
        Version named = member.channel == null ? null : channels.get(member.channel);
        if (named != null) return new Wish(named, Outcome.Reason.CHANNEL);
        int place = draw(name, model, member.installId);
        for (int at = 0; at < arms.size(); at++) {
            // Places that an arm may grow into are no other's.
            long start = (long) at * (PLACES / arms.size());
            boolean drawn = start <= place && place < start + arms.get(at).places;
            if (drawn) return new Wish(arms.get(at).version, Outcome.Reason.ARM);
        }
        return new Wish(stable, Outcome.Reason.STABLE);
    }
}

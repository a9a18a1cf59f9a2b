package dev.edgeship.client;

import dev.edgeship.client.Fetching.Candidate;
import dev.edgeship.client.Metadata.Target;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** One check, from the repository's metadata to an active release. */
final class Update {
    /** A self-test that so often did not end with its process is not tried again: it took the process down. */
    private static final int MOST_TESTS = 2;

    private final Options options;
    private final Place place;
    private final Probation probation;
    private final Repository repository;
    private final Fetching fetching;
    private final Progress progress;
    private final long now;
    private final List<String> refused = new ArrayList<>();
    /** Documents that were read. */
    private final Set<String> read = new HashSet<>();
    private State found;
    private Outcome.Reason reason = Outcome.Reason.STABLE;

    Update(Options options, Metadata.Root root, Place place, Source source, Progress progress) {
        this.options = options;
        this.place = place;
        this.progress = progress;
        now = options.clock.getAsLong();
        probation = new Probation(place, options.limits);
        found = place.read();
        repository = new Repository(root, source, place.state, now, found.seen);
        fetching = new Fetching(options.line, source, place.files, repository, progress);
    }

    /** Takes the best release that passes its self-test. */
    Outcome run(boolean checkOnly) throws UpdateException {
        progress.at(Progress.Phase.CHECK, 0, 0);
        change(copy -> probation.settle(copy, now));
        Outcome outcome = best(checkOnly);
        if (!checkOnly) tidy();
        progress.at(Progress.Phase.DONE, 0, 0);
        return outcome;
    }

    private Outcome best(boolean checkOnly) throws UpdateException {
        for (Candidate candidate : candidates()) {
            if (found.isBarred(candidate.target.sha256, now)) continue;
            Outcome outcome = take(candidate, checkOnly);
            if (outcome != null) return outcome;
        }
        Installed.Serving runs = serving();
        if (runs != null) return outcome(Outcome.Result.KEPT, runs.held, 0);
        String why = refused.isEmpty() ? "It runs " + String.join(", ", options.variants) + "." : String.join("; ", refused);
        throw new RefusedException("there is no release that this client can run and may", why);
    }

    /** What is offered to this client, best first, each release in the variant that it prefers. */
    private List<Candidate> candidates() throws UpdateException {
        Seen seen = repository.refresh();
        change(copy -> copy.seen = seen);
        Target rules = repository.offline(Paths.policy(options.line));
        Policy policy = rules == null ? Policy.none(options.line) : Policy.read(document(rules), options.line);
        change(copy -> {
            copy.floor = policy.floor;
            copy.revoked = policy.revoked;
        });
        Target named = repository.delegated(Paths.rollout(options.line));
        if (named == null) throw new RefusedException("the repository has no rollout of " + options.line);
        Rollout rollout = Rollout.read(document(named), options.line);
        Rollout.Member member = new Rollout.Member(found.installId, options.variants, options.channel);
        Rollout.Wish wish = rollout.wish(policy, member, now);
        reason = wish.reason;
        List<Candidate> made = new ArrayList<>();
        for (Version version : wish.versions) {
            Candidate first = candidate(version);
            if (first != null) made.add(first);
        }
        return made;
    }

    private Candidate candidate(Version version) {
        for (String variant : options.variants) {
            Target target = repository.offline(Paths.release(options.line, version, variant) + "/manifest.json");
            if (target != null) return new Candidate(version, variant, target);
        }
        return null;
    }

    private byte[] document(Target target) throws UpdateException {
        read.add(target.sha256);
        return fetching.document(target, Rollout.DOCUMENT_BYTES);
    }

    /** Runs this release, if it passes its self-test; null: it did not, or is not what was signed. */
    private Outcome take(Candidate candidate, boolean checkOnly) throws UpdateException {
        Held wanted = candidate.held();
        Installed.Serving runs = serving();
        if (runs != null && wanted.is(runs.held)) return outcome(Outcome.Result.CURRENT, wanted, 0);
        try {
            Manifest manifest = fetching.manifest(candidate);
            List<Manifest> bases = new ArrayList<>();
            for (Held each : new Held[] {found.active, found.previous}) {
                Manifest base = Installed.manifest(place.files, each);
                if (base != null) bases.add(base);
            }
            List<Fetching.Step> steps = fetching.plan(manifest, candidate, bases);
            long bytes = Fetching.wireBytes(steps);
            if (checkOnly) return outcome(Outcome.Result.AVAILABLE, wanted, bytes);
            if (mustWait(wanted, runs)) return outcome(Outcome.Result.WAITING, wanted, 0);
            fetching.get(steps);
            test(wanted, runs);
            change(copy -> {
                // Somebody may have gone back meanwhile: then what is active now is what comes back, not what was left.
                copy.previous = runs == null ? null : copy.hasFailed(runs.held.manifest) ? copy.active : runs.held;
                copy.active = wanted;
                copy.forgive(wanted.manifest);
                copy.trial = new State.Trial(now, 0, 0);
            });
            return outcome(Outcome.Result.UPDATED, wanted, bytes);
        } catch (RefusedException error) {
            // What was refused before its self-test is not remembered: the network may be to blame, and stable is there.
            refused.add(candidate.version + ": " + error.getMessage());
            return null;
        }
    }

    /** Whether the release before is still needed: it comes back if the probation of what runs fails. */
    private boolean mustWait(Held wanted, Installed.Serving runs) {
        boolean tries = found.trial != null && runs != null && runs.held.is(found.active);
        if (!tries || wanted.is(found.previous) || !found.allows(runs.held.version)) return false;
        return !probation.passed(found.trial, now) && probation.canGoBack(found);
    }

    /** Tries a release; one that fails is remembered. */
    private void test(Held wanted, Installed.Serving runs) throws UpdateException {
        progress.at(Progress.Phase.TEST, 0, 0);
        Release release = Installed.load(place.files, wanted, true);
        if (release == null) throw new StorageException("the disk does not keep what was written");
        // One byte for each self-test that began. It is removed, which takes no space, whatever comes of the test.
        String marker = "testing." + wanted.manifest;
        byte[] before = place.state.get(marker);
        int times = before == null ? 0 : before.length;
        try {
            if (times >= MOST_TESTS) throw new RefusedException("self-test: the process ended in it, " + times + " times");
            place.state.put(marker, new byte[times + 1]);
            new SelfTest(options.runner, options.limits).check(release, runs == null ? null : runs.release);
        } catch (SelfTest.TooMuch error) {
            change(copy -> copy.failForNow(wanted.manifest, error.getMessage(), now));
            throw error;
        } catch (RefusedException error) {
            change(copy -> copy.fail(wanted.manifest, error.getMessage(), now));
            throw error;
        } finally {
            place.state.delete(marker);
        }
    }

    private Installed.Serving serving() {
        return Installed.serving(place.files, found, options.variants);
    }

    /** Drops what was fetched and is needed no more. */
    private void tidy() throws UpdateException {
        Set<String> needed = new HashSet<>(read);
        needed.add("state");
        for (Held each : new Held[] {found.active, found.previous}) {
            if (each == null) continue;
            Manifest manifest = Installed.manifest(place.files, each);
            if (manifest == null) return; // whose files are there nobody knows now
            needed.add(each.manifest);
            for (Manifest.Item file : manifest.files()) needed.add(file.sha256);
        }
        for (String name : place.files.names()) if (!needed.contains(name)) place.files.delete(name);
    }

    private void change(State.Change change) throws UpdateException {
        found = place.change(change);
    }

    private Outcome outcome(Outcome.Result result, Held of, long bytes) {
        return new Outcome(result, of, reason, bytes, refused);
    }
}

package dev.edgeship.client;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A new release is trusted once processes have served with it for a while, and taken back if they die.
 *
 * <p>A process that loads a release in probation makes a file in {@code starts/} and keeps it locked. It removes the file
 * once it has served. A file that is there and not locked is of a process that died before that, however it died. The file
 * says whether the process was at rest then: who is ended while it waits for something to do says nothing about its model.
 */
final class Probation {
    private static final String FOLDER = "starts";
    private static final int PREFIX = 16;
    /** In the file of a process that loads the model, as it does while the file is empty, or predicts; of one that rests. */
    static final byte[] WORKS = Bytes.encode("works");
    static final byte[] RESTS = Bytes.encode("rests");

    private final Place place;
    private final Limits limits;

    Probation(Place place, Limits limits) {
        this.place = place;
        this.limits = limits;
    }

    /** Counts processes that died, and ends the probation one way or the other where that is due; for a change. */
    void settle(State found, long now) throws UpdateException {
        boolean tries = found.trial != null && found.active != null;
        int dead = 0;
        for (File file : dead()) {
            boolean counts = tries && file.getName().startsWith(found.active.manifest.substring(0, PREFIX));
            boolean worked = counts && wasAtWork(file);
            if (file.delete() && worked) dead++;
        }
        if (tries) count(found, 0, dead, now);
    }

    /** Counts starts and failures of what is active; for a change. */
    void count(State found, int starts, int failures, long now) {
        State.Trial trial = found.trial;
        found.trial = new State.Trial(trial.since, trial.starts + starts, trial.failures + failures);
        if (found.trial.failures >= limits.failures) {
            if (canGoBack(found)) goBack(found, found.trial.failures + " processes failed with it", now);
        } else if (found.trial.starts >= limits.starts && passed(found.trial, now)) {
            found.trial = null;
        }
    }

    /** Whether the time of a probation has passed. */
    boolean passed(State.Trial trial, long now) {
        return now - trial.since >= limits.minutes * 60_000;
    }

    /** Whether there is a release before, undamaged, that may run. */
    boolean canGoBack(State found) {
        Held back = found.previous;
        if (back == null || found.hasFailed(back.manifest) || !found.allows(back.version)) return false;
        return Installed.load(place.files, back, false) != null;
    }

    /** The release before runs, the one that is left is not tried again; for a change. */
    void goBack(State found, String reason, long now) {
        if (found.active != null) found.fail(found.active.manifest, reason, now);
        found.active = found.previous;
        found.previous = null;
        found.trial = null;
    }

    /** Says that this process tries a release; under the lock of the state, so that nobody takes it for a dead one's. */
    Place.Lock begin(Held tries) throws UpdateException {
        byte[] random = new byte[8];
        new SecureRandom().nextBytes(random);
        return place.lock(FOLDER + "/" + tries.manifest.substring(0, PREFIX) + "-" + Bytes.hex(random), false);
    }

    /** Whether a process died while it loaded the model or predicted. */
    private static boolean wasAtWork(File file) {
        try {
            return !Arrays.equals(Files.readAllBytes(file.toPath()), RESTS);
        } catch (IOException error) {
            return false; // nobody knows
        }
    }

    /** Files of processes that are gone. */
    private List<File> dead() throws UpdateException {
        List<File> found = new ArrayList<>();
        File[] all = new File(place.folder, FOLDER).listFiles();
        for (File file : all == null ? new File[0] : all) {
            String name = file.getName();
            if (!name.endsWith(Place.LOCK)) continue;
            try (Place.Lock lock = place.lock(FOLDER + "/" + name.substring(0, name.length() - Place.LOCK.length()), false)) {
                found.add(file);
            } catch (UnavailableException error) {
                continue; // it lives
            }
        }
        return found;
    }
}

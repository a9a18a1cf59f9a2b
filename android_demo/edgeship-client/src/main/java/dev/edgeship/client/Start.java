package dev.edgeship.client;

import java.io.IOException;
import java.util.function.LongSupplier;

/**
 * This process with the release that it runs. While that is in probation it has to show that it serves: a process that ends
 * before {@link #served} or {@link #close}, however it ends, counts as a failure, unless it {@link #rests} then.
 */
public final class Start implements AutoCloseable {
    private final Place place;
    private final Probation probation;
    private final LongSupplier clock;
    private final Release release;
    private Place.Lock lock;

    Start(Place place, Probation probation, LongSupplier clock, Release release, Place.Lock lock) {
        this.place = place;
        this.probation = probation;
        this.clock = clock;
        this.release = release;
        this.lock = lock;
    }

    /** What this process shall run; null where nothing is installed. */
    public Release release() {
        return release;
    }

    /**
     * The model is loaded, and nothing to do: that the process is ended now says nothing about its release. It has not
     * served either.
     *
     * @throws StorageException it cannot be written; this process is not counted then.
     */
    public synchronized void rests() throws UpdateException {
        mark(Probation.RESTS);
    }

    /**
     * From now on it is to blame on the release if this process ends: it predicts again, after {@link #rests}.
     *
     * @throws StorageException it cannot be written; this process is not counted then.
     */
    public synchronized void works() throws UpdateException {
        mark(Probation.WORKS);
    }

    private void mark(byte[] doing) throws UpdateException {
        if (lock == null) return;
        try {
            lock.write(doing);
        } catch (IOException error) {
            close(); // better not counted than counted for something else
            throw new StorageException("what this process does cannot be written", "Free some space.", error);
        }
    }

    /**
     * With this release the process works: after a few predictions, or one after some seconds.
     *
     * @throws StorageException it cannot be written; the probation goes on.
     */
    public synchronized void served() throws UpdateException {
        count(1, 0);
    }

    /**
     * With this release the process does not work, or its answers are wrong. Enough failures bring back the release before,
     * at the next {@link Client#start}.
     *
     * @throws StorageException it cannot be written; the probation goes on.
     */
    public synchronized void failed() throws UpdateException {
        count(0, 1);
    }

    private void count(int starts, int failures) throws UpdateException {
        if (lock == null) return;
        String manifest = release.held().manifest;
        place.change(found -> {
            boolean tries = found.trial != null && found.active != null && found.active.manifest.equals(manifest);
            if (tries) probation.count(found, starts, failures, clock.getAsLong());
        });
        close();
    }

    /** Nothing more is to be said about this process: it ends in order. */
    @Override
    public synchronized void close() {
        if (lock == null) return;
        lock.delete();
        lock.close();
        lock = null;
    }
}

package dev.edgeship.client;

/** How much a repository may take of a device, and when a new release is trusted. Values; each setter gives a copy. */
public final class Limits implements Cloneable {
    double seconds = 60;
    long bytesPerSecond = 1000;
    long releaseBytes = 256 << 20;
    double testSeconds = 120;
    double slowdown = 4;
    int starts = 1;
    double minutes = 60;
    int failures = 3;

    /** The limits that hold where nothing else is said. */
    public Limits() {}

    /**
     * @param seconds for an answer to begin, and for metadata to be there; 60 by default.
     * @param bytesPerSecond least rate of a file; 1000 by default.
     */
    public Limits network(double seconds, long bytesPerSecond) {
        Limits made = copy();
        made.seconds = positive(seconds);
        made.bytesPerSecond = (long) positive(bytesPerSecond);
        return made;
    }

    /** @param bytes of the largest release, its files as they are used; 268,435,456 by default. */
    public Limits release(long bytes) {
        Limits made = copy();
        made.releaseBytes = (long) positive(bytes);
        return made;
    }

    /**
     * @param seconds of a self-test; 120 by default.
     * @param slowdown a new release may take this many times as long as the one before; 4 by default.
     */
    public Limits selfTest(double seconds, double slowdown) {
        Limits made = copy();
        made.testSeconds = positive(seconds);
        made.slowdown = positive(slowdown);
        return made;
    }

    /**
     * @param starts processes that must have served with a new release; 1 by default.
     * @param minutes that must have passed; 60 by default.
     * @param failures after which the release before comes back; 3 by default.
     */
    public Limits probation(int starts, double minutes, int failures) {
        if (starts < 0 || !(minutes >= 0)) throw new IllegalArgumentException("a probation cannot be less than nothing");
        Limits made = copy();
        made.starts = starts;
        made.minutes = minutes;
        made.failures = (int) positive(failures);
        return made;
    }

    private static double positive(double value) {
        if (value > 0) return value;
        throw new IllegalArgumentException(value + " must be more than 0");
    }

    private Limits copy() {
        try {
            return (Limits) clone();
        } catch (CloneNotSupportedException error) {
            throw new IllegalStateException(error); // it is Cloneable
        }
    }
}

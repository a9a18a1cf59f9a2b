package dev.edgeship.client;

import java.util.Collections;
import java.util.List;

/** What came of a check. */
public final class Outcome {
    /** In one word. */
    public enum Result {
        /** A new release is active. */
        UPDATED,
        /** What is active is what this client should run. */
        CURRENT,
        /** A new release is there; it was only looked. */
        AVAILABLE,
        /** A new release is there, and waits for the end of the probation of what runs. */
        WAITING,
        /** Nothing that this client may or can run is offered; it goes on with what it has. */
        KEPT
    }

    /** Why the first of the releases that this client should run. */
    public enum Reason { STABLE, HALTED, CHANNEL, ARM, CONSTRAINTS }

    private final Result result;
    private final Held held;
    private final Reason reason;
    private final long bytes;
    private final List<String> refused;

    Outcome(Result result, Held held, Reason reason, long bytes, List<String> refused) {
        this.result = result;
        this.held = held;
        this.reason = reason;
        this.bytes = bytes;
        this.refused = Collections.unmodifiableList(refused);
    }

    /** See {@link Result}. */
    public Result result() {
        return result;
    }

    /** Of the release that the result is about, such as {@code 1.4.0}. */
    public String version() {
        return held.version.toString();
    }

    /** Of the release that the result is about, such as {@code tflite-int8}. */
    public String variant() {
        return held.variant;
    }

    /** See {@link Reason}. */
    public Reason reason() {
        return reason;
    }

    /** Bytes that getting it takes or took over the network, as planned; 0 where nothing is fetched. */
    public long bytes() {
        return bytes;
    }

    /** Releases that were tried and not taken, with the reason. */
    public List<String> refused() {
        return refused;
    }
}

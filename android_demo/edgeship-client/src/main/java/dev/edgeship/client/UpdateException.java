package dev.edgeship.client;

/** All errors of this client. The release that is active goes on whichever of them is thrown. */
public abstract class UpdateException extends Exception {
    private static final long serialVersionUID = 1;

    /** What went wrong, for programs. */
    public enum Code {
        /** By a check: what is offered is not signed, not fresh, too old, another file, or failed its self-test. */
        REFUSED,
        /** For now: no answer, none of a repository, too slow a one, or a clock that is wrong. */
        UNAVAILABLE,
        /** By the disk. */
        STORAGE,
        /** By the caller's options or pinned root. */
        INPUT,
        /** A patch; the client takes the whole file then. */
        PATCH
    }

    private final Code code;
    private final String remedy;

    UpdateException(Code code, String message, String remedy, Throwable cause) {
        super(message, cause);
        this.code = code;
        this.remedy = remedy;
    }

    /** Tells errors apart in programs. */
    public Code code() {
        return code;
    }

    /** What to try; empty: nothing can be done here. */
    public String remedy() {
        return remedy;
    }
}

package dev.edgeship.client;

/** No answer, none of a repository, too slow a one, a clock that is wrong, or another update that is running. */
public final class UnavailableException extends UpdateException {
    private static final long serialVersionUID = 1;
    /** Whether there was too little time, so that trying again at once is of no use. */
    final boolean late;

    UnavailableException(String message) {
        this(message, "It is tried again at the next check.");
    }

    UnavailableException(String message, String remedy) {
        this(message, remedy, null, false);
    }

    UnavailableException(String message, String remedy, Throwable cause, boolean late) {
        super(Code.UNAVAILABLE, message, remedy, cause);
        this.late = late;
    }
}

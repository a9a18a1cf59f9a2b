package dev.edgeship.client;

/** The caller's options or pinned root cannot be used. */
public final class InputException extends UpdateException {
    private static final long serialVersionUID = 1;

    InputException(String message) {
        this(message, "", null);
    }

    InputException(String message, String remedy) {
        this(message, remedy, null);
    }

    InputException(String message, String remedy, Throwable cause) {
        super(Code.INPUT, message, remedy, cause);
    }
}

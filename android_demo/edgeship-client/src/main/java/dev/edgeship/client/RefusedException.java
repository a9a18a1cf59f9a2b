package dev.edgeship.client;

/** What is offered is not signed, not fresh, older than what was seen, another file, or failed its self-test. */
public class RefusedException extends UpdateException {
    private static final long serialVersionUID = 1;

    RefusedException(String message) {
        this(message, "Nothing was changed; the model goes on.", null);
    }

    RefusedException(String message, String remedy) {
        this(message, remedy, null);
    }

    RefusedException(String message, String remedy, Throwable cause) {
        super(Code.REFUSED, message, remedy, cause);
    }
}

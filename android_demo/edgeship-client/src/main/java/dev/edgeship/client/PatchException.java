package dev.edgeship.client;

/** A patch is broken, for another file, or makes a larger one; the client takes the whole file then. */
public final class PatchException extends UpdateException {
    private static final long serialVersionUID = 1;

    PatchException(String message) {
        this(message, "The whole file is taken instead.", null);
    }

    PatchException(String message, String remedy) {
        this(message, remedy, null);
    }

    PatchException(String message, String remedy, Throwable cause) {
        super(Code.PATCH, message, remedy, cause);
    }
}

package dev.edgeship.client;

/** The disk is full or cannot be written. */
public final class StorageException extends UpdateException {
    private static final long serialVersionUID = 1;

    StorageException(String message) {
        this(message, "Free some space; what came so far is kept, the model goes on.", null);
    }

    StorageException(String message, String remedy) {
        this(message, remedy, null);
    }

    StorageException(String message, String remedy, Throwable cause) {
        super(Code.STORAGE, message, remedy, cause);
    }
}

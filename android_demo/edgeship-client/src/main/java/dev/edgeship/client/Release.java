package dev.edgeship.client;

import java.io.File;
import java.util.Map;

/** A release that is here, with its files, each of which was checked against the SHA-256 that was signed. */
public final class Release {
    private final Held held;
    private final Manifest manifest;
    private final Map<String, File> files;

    Release(Held held, Manifest manifest, Map<String, File> files) {
        this.held = held;
        this.manifest = manifest;
        this.files = files;
    }

    /** Such as {@code 1.4.0}. */
    public String version() {
        return held.version.toString();
    }

    /** Such as {@code tflite-int8}. */
    public String variant() {
        return held.variant;
    }

    /** What it is. */
    public Manifest manifest() {
        return manifest;
    }

    /** The file that the runtime opens. It stays as long as this release is active or the one before. */
    public File model() {
        return files.get(manifest.entry());
    }

    /**
     * A file of the manifest; null for one that it does not name. Golden samples are there in a self-test only.
     *
     * @param name as the manifest has it.
     */
    public File file(String name) {
        return files.get(name);
    }

    Held held() {
        return held;
    }
}

package dev.edgeship.client;

import java.io.File;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Releases that are here, each checked against the SHA-256 that was signed. */
final class Installed {
    /** What runs. */
    static final class Serving {
        final Held held;
        final Release release;

        private Serving(Held held, Release release) {
            this.held = held;
            this.release = release;
        }
    }

    private Installed() {}

    /** The manifest of a release that is here; null where it was lost or damaged. */
    static Manifest manifest(Store files, Held of) {
        byte[] bytes = of == null ? null : files.get(of.manifest);
        if (bytes == null || !Bytes.isFile(bytes, of.manifest, of.length)) return null;
        try {
            return Manifest.read(bytes, "manifest.json");
        } catch (RefusedException error) {
            return null; // written by another version of this client
        }
    }

    /** A release from the store; null where anything of it was lost or damaged. */
    static Release load(Store files, Held of, boolean golden) {
        Manifest manifest = manifest(files, of);
        if (manifest == null) return null;
        Set<String> tests = new HashSet<>(manifest.goldenInputs().values());
        tests.addAll(manifest.goldenOutputs().values());
        Map<String, File> found = new HashMap<>();
        for (Manifest.Item each : manifest.files()) {
            if (!golden && tests.contains(each.name)) continue;
            File file = files.file(each.sha256);
            if (!Bytes.isFile(file, each.sha256, each.bytes)) return null;
            found.put(each.name, file);
        }
        return new Release(of, manifest, found);
    }

    /** What runs: the active release, or the one before where that is damaged, in a variant that runs here; or null. */
    static Serving serving(Store files, State state, List<String> variants) {
        for (Held each : new Held[] {state.active, state.previous}) {
            if (each == null || !variants.contains(each.variant) || state.hasFailed(each.manifest)) continue;
            Release release = load(files, each, false);
            if (release != null) return new Serving(each, release);
        }
        return null;
    }
}

package dev.edgeship.client;

import dev.edgeship.client.Metadata.Target;
import java.io.UnsupportedEncodingException;
import java.net.URLEncoder;

/** Target paths of what a repository has (docs/updates/repository.md). */
final class Paths {
    /** Digits of a SHA-256 that tell files of one model apart, in the name of a patch. */
    private static final int DIGITS = 12;

    private Paths() {}

    static String policy(Line of) {
        return "models/" + of + "/policy.json";
    }

    static String rollout(Line of) {
        return "rollout/" + of + ".json";
    }

    /** Where the files of a release in one variant are, without a slash at its end. */
    static String release(Line of, Version release, String variant) {
        return "models/" + of + "/" + release + "/" + variant;
    }

    /** The patch between two files, by the SHA-256 of their plain content. */
    static String patch(Line of, String from, String to) {
        return "models/" + of + "/patches/" + from.substring(0, DIGITS) + "-" + to.substring(0, DIGITS) + ".esd";
    }

    /** Where a file lies under {@code targets/}: every name has the SHA-256 before its last part. */
    static String stored(Target file) {
        StringBuilder made = new StringBuilder();
        int last = file.path.lastIndexOf('/') + 1;
        for (String part : file.path.substring(0, last).split("/")) {
            if (!part.isEmpty()) made.append(encoded(part)).append('/');
        }
        return made.append(file.sha256).append('.').append(encoded(file.path.substring(last))).toString();
    }

    /** A part of a path as an address has it. */
    static String encoded(String part) {
        try {
            String made = URLEncoder.encode(part, "UTF-8").replace("+", "%20");
            // What clients and servers take for the folder itself or the one above is never asked for.
            return made.equals(".") || made.equals("..") ? made.replace(".", "%2E") : made;
        } catch (UnsupportedEncodingException error) {
            throw new IllegalStateException(error); // every Java has UTF-8
        }
    }
}

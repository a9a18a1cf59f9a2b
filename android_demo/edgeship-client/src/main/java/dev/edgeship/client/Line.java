package dev.edgeship.client;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A model and its major version: what an application is written for. */
final class Line {
    static final Pattern MODEL = Pattern.compile("[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?");
    /** {@code <format>-<variant>}, such as {@code tflite-int8}. */
    static final Pattern VARIANT = Pattern.compile("[a-z0-9]+(-[a-z0-9]+)+");
    static final int VARIANT_LENGTH = 64;
    static final Pattern CHANNEL = Pattern.compile("[a-z0-9][a-z0-9_-]{0,31}");
    private static final Pattern LINE = Pattern.compile("(" + MODEL.pattern() + ")/v(0|[1-9][0-9]{0,9})");

    final String model;
    final long major;

    private Line(String model, long major) {
        this.model = model;
        this.major = major;
    }

    /** Reads {@code model/v1}. */
    static Line read(Node node) throws RefusedException {
        Matcher found = LINE.matcher(node.text());
        if (!found.matches() || Long.parseLong(found.group(2)) > Version.LARGEST) {
            throw node.unfit("a model and its major version: MODEL/v1");
        }
        return new Line(found.group(1), Long.parseLong(found.group(2)));
    }

    /** Refuses a document that is about another line. */
    void check(Node document) throws RefusedException {
        String model = document.field("model").text(MODEL);
        long major = document.field("major").integer(0, Version.LARGEST);
        if (model.equals(this.model) && major == this.major) return;
        throw new RefusedException("a document of " + model + "/v" + major + " is none of " + this);
    }

    /** Reads a version of this line. */
    Version version(Node node) throws RefusedException {
        Version found = Version.read(node);
        if (found.major != major) throw node.unfit("a version of the line v" + major);
        return found;
    }

    @Override
    public String toString() {
        return model + "/v" + major;
    }
}

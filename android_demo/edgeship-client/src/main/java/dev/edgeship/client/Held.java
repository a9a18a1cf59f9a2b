package dev.edgeship.client;

import java.util.LinkedHashMap;
import java.util.Map;

/** A release that passed its self-test here, or is about to: the SHA-256 of its manifest names it and all its files. */
final class Held {
    final Version version;
    final String variant;
    final String manifest;
    /** Bytes of the manifest. */
    final long length;

    Held(Version version, String variant, String manifest, long length) {
        this.version = version;
        this.variant = variant;
        this.manifest = manifest;
        this.length = length;
    }

    static Held read(Node node) throws RefusedException {
        node.closed("version", "variant", "manifest", "length");
        return new Held(
                Version.read(node.field("version")),
                node.field("variant").text(Line.VARIANT, Line.VARIANT_LENGTH),
                Metadata.digest(node.field("manifest")),
                node.field("length").integer(0));
    }

    Map<String, Object> json() {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("version", version.toString());
        made.put("variant", variant);
        made.put("manifest", manifest);
        made.put("length", length);
        return made;
    }

    boolean is(Held other) {
        return other != null && manifest.equals(other.manifest) && version.equals(other.version) && variant.equals(other.variant);
    }
}

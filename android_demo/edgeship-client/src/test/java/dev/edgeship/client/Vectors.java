package dev.edgeship.client;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Instant;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The files of JSON that clients in all languages are held to (tests/vectors). */
final class Vectors {
    private Vectors() {}

    static Node read(String name) throws IOException, RefusedException {
        File folder = new File("").getAbsoluteFile();
        while (folder != null && !new File(folder, "tests/vectors/" + name).isFile()) folder = folder.getParentFile();
        if (folder == null) throw new IOException("tests/vectors/" + name + " is in no folder above this one");
        return Node.parse(Files.readAllBytes(new File(folder, "tests/vectors/" + name).toPath()), name);
    }

    static byte[] base64(Node node) throws RefusedException {
        return Base64.getDecoder().decode(text(node));
    }

    /** A text of any length. */
    static String text(Node node) throws RefusedException {
        return node.text(null, Integer.MAX_VALUE);
    }

    static long moment(Node node) throws RefusedException {
        return Instant.parse(node.text()).toEpochMilli();
    }

    static List<Node> list(Node node) throws RefusedException {
        return node.list(0, Integer.MAX_VALUE, each -> each);
    }

    /** All of tests/vectors/repositories.json. */
    static final class Repositories {
        final Node all;
        private final Map<String, byte[]> contents = new HashMap<>();

        Repositories() throws IOException, RefusedException {
            all = read("repositories.json");
            for (Map.Entry<String, Node> each : all.field("files").map(Integer.MAX_VALUE, node -> node).entrySet()) {
                contents.put(each.getKey(), base64(each.getValue()));
            }
        }

        List<Node> cases() throws RefusedException {
            return list(all.field("cases"));
        }

        Node named(String name) throws RefusedException {
            for (Node each : cases()) if (each.field("name").text().equals(name)) return each;
            throw new RefusedException("there is no vector " + name);
        }

        byte[] content(Node digest) throws RefusedException {
            return contents.get(digest.text());
        }

        /** Path to content. */
        Map<String, byte[]> listing(Node listing) throws RefusedException {
            return listing.map(Integer.MAX_VALUE, this::content);
        }

        Map<String, byte[]> before(Node found) throws RefusedException {
            return listing(all.field("states").field(found.field("before").text()));
        }
    }
}

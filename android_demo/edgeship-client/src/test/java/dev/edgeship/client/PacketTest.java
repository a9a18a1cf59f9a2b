package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Releases that come in a file, signed and unsigned. */
class PacketTest {
    private static final Progress SILENT = (phase, loaded, total) -> {};

    @TempDir Path folder;
    private Vectors.Repositories all;

    @BeforeEach
    void read() throws Exception {
        all = new Vectors.Repositories();
    }

    private File packed(Map<String, byte[]> files) throws IOException {
        File made = Files.createTempFile(folder, "packet", ".zip").toFile();
        try (OutputStream to = Files.newOutputStream(made.toPath()); ZipOutputStream zip = new ZipOutputStream(to)) {
            for (Map.Entry<String, byte[]> each : files.entrySet()) {
                zip.putNextEntry(new ZipEntry(each.getKey()));
                zip.write(each.getValue());
                zip.closeEntry();
            }
        }
        return made;
    }

    /** A device that runs the first release, which came in a file. */
    private Device enrolled(Node found) throws Exception {
        Device device = new Device(null, all, found, Files.createTempDirectory(folder, "client").toFile());
        device.address = "https://nowhere.invalid";
        device.now = Vectors.moment(all.all.field("enrolled"));
        device.client().sideload(packed(all.before(found)), SILENT);
        device.now = Vectors.moment(found.field("now"));
        return device;
    }

    /** What a server cannot be told apart from: every repository that clients meet, in a file. */
    @TestFactory
    List<DynamicTest> repositories() throws Exception {
        List<DynamicTest> tests = new ArrayList<>();
        for (Node each : all.cases()) {
            tests.add(dynamicTest(each.field("name").text(), () -> {
                try (Device device = enrolled(each)) {
                    String result;
                    boolean refused;
                    try {
                        Outcome outcome = device.client().sideload(packed(all.listing(each.field("repository"))), SILENT);
                        refused = !outcome.refused().isEmpty();
                        result = outcome.result() + " " + outcome.version() + " " + outcome.refused();
                    } catch (UpdateException error) {
                        refused = true;
                        result = error.code() + ": " + error.getMessage();
                    }
                    assertEquals(each.field("serves").text(), device.serves(), result);
                    assertEquals(each.field("refused").flag(), refused, result);
                }
            }));
        }
        assertTrue(tests.size() >= 62);
        return tests;
    }

    @Test
    void whatIsNoPacketIsRefused() throws Exception {
        Node found = all.named("an update, with a patch");
        try (Device device = enrolled(found)) {
            byte[] whole = Files.readAllBytes(packed(all.listing(found.field("repository"))).toPath());
            File broken = folder.resolve("broken.zip").toFile();
            for (int length : new int[] {0, 10, whole.length / 2, whole.length - 1}) {
                Files.write(broken.toPath(), Arrays.copyOf(whole, length));
                assertThrows(RefusedException.class, () -> device.client().sideload(broken, SILENT));
            }
            assertThrows(UnavailableException.class, () -> device.client().sideload(packed(new HashMap<>()), SILENT));
            // A bit of the content, wherever it is: a zip that is broken, or a file that is not what was signed.
            for (int at = 100; at < whole.length; at += whole.length / 7) {
                byte[] other = whole.clone();
                other[at] ^= 4;
                Files.write(broken.toPath(), other);
                try {
                    assertEquals("1.1.0", device.client().sideload(broken, SILENT).version());
                } catch (UpdateException error) {
                    assertEquals("1.0.0", device.serves());
                }
            }
        }
    }

    private Map<String, byte[]> bundle() throws Exception {
        Node found = all.named("an update, with a patch");
        try (Device device = enrolled(found)) {
            Release release = device.client().active();
            Map<String, byte[]> made = new HashMap<>();
            for (Manifest.Item item : release.manifest().files()) {
                Map<String, byte[]> before = all.before(found);
                for (Map.Entry<String, byte[]> each : before.entrySet()) {
                    if (each.getKey().contains("/" + item.wire().sha256 + ".")) made.put(item.wire().name, each.getValue());
                }
            }
            String digest = new Place(device.folder, "points/v1").read().active.manifest;
            made.put("manifest.json", Files.readAllBytes(device.folder.toPath().resolve("files").resolve(digest)));
            return made;
        }
    }

    @Test
    void anUnsignedBundleIsHeldToItsManifestAndTried() throws Exception {
        Unsigned unsigned = new Unsigned(folder.resolve("unsigned").toFile(), new TinyRunner(), new Limits());
        assertNull(unsigned.active());
        Map<String, byte[]> bundle = bundle();
        unsigned.take(packed(bundle));
        assertEquals("tflite-float32", unsigned.active().variant());
        assertTrue(unsigned.active().model().isFile());
        for (String name : bundle.keySet()) {
            Map<String, byte[]> other = new HashMap<>(bundle);
            byte[] content = bundle.get(name).clone();
            content[content.length / 2] ^= 1;
            other.put(name, content);
            if (name.equals("manifest.json")) other.remove(name);
            assertThrows(RefusedException.class, () -> unsigned.take(packed(other)), name);
            assertNull(unsigned.active(), "what came before is gone");
        }
        unsigned.take(packed(bundle));
        Runner bad = (model, manifest) -> {
            throw new IOException("it is broken");
        };
        Unsigned other = new Unsigned(folder.resolve("unsigned").toFile(), bad, new Limits());
        assertThrows(RefusedException.class, () -> other.take(packed(bundle)));
        assertFalse(new File(folder.toFile(), "unsigned/state").exists());
    }
}

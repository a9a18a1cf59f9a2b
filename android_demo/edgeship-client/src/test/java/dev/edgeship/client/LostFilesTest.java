package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files of the client that are lost or damaged, a disk that is full, downloads that are cut, and other processes. */
class LostFilesTest {
    @TempDir Path temporary;
    private final Vectors.Repositories all;
    private Server server;
    private Device device;

    LostFilesTest() throws Exception {
        all = new Vectors.Repositories();
    }

    @BeforeEach
    void updated() throws Exception {
        server = new Server();
        device = new Device(server, all, all.named("an update, with a patch"), temporary.resolve("client").toFile());
        device.enrol();
        assertEquals("UPDATED 1.1.0 []", device.meet());
    }

    @AfterEach
    void ended() throws Exception {
        server.close();
    }

    private List<Path> files() throws Exception {
        try (Stream<Path> found = Files.walk(device.folder.toPath())) {
            return found.filter(Files::isRegularFile).sorted().collect(Collectors.toList());
        }
    }

    private void restore(Path good) throws Exception {
        if (device.folder.exists()) remove(device.folder.toPath());
        try (Stream<Path> found = Files.walk(good)) {
            for (Path each : found.collect(Collectors.toList())) {
                Files.copy(each, device.folder.toPath().resolve(good.relativize(each).toString()));
            }
        }
    }

    private static void remove(Path folder) throws Exception {
        Files.walkFileTree(folder, new SimpleFileVisitor<Path>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path each, IOException error) throws IOException {
                Files.delete(each);
                return FileVisitResult.CONTINUE;
            }
        });
    }

    @Test
    void anyFileThatIsDamagedIsHealed() throws Exception {
        Path good = temporary.resolve("good");
        Files.move(device.folder.toPath(), good);
        restore(good);
        for (Path file : files()) {
            byte[] content = Files.readAllBytes(file);
            byte[] garbage = content.clone();
            Arrays.fill(garbage, garbage.length / 2, garbage.length, (byte) 'x');
            for (byte[] damage : new byte[][] {null, {}, new byte[content.length], garbage, Arrays.copyOf(content, content.length / 2)}) {
                Files.deleteIfExists(file);
                if (damage != null) Files.write(file, damage);
                String serves = device.serves();
                assertTrue(Arrays.asList("1.0.0", "1.1.0").contains(serves), file + " " + serves);
                String result = device.attempt();
                assertTrue(result.matches("(UPDATED|CURRENT) 1\\.1\\.0 \\[\\]"), file + " " + result);
                assertEquals("1.1.0", device.serves());
                restore(good);
            }
        }
    }

    @Test
    void anyFolderThatIsLostIsMadeAnew() throws Exception {
        for (String each : new String[] {"state", "files", "starts"}) {
            Path lost = device.folder.toPath().resolve(each);
            if (Files.exists(lost)) remove(lost);
            assertTrue(device.attempt().matches("(UPDATED|CURRENT) 1\\.1\\.0 \\[\\]"), each);
            assertEquals("1.1.0", device.serves());
        }
    }

    @Test
    void whatWasSeenHoldsWithoutTheMetadata() throws Exception {
        for (Path each : files()) {
            boolean isMetadata = each.getParent().endsWith("state") && !each.endsWith("state/state");
            if (isMetadata) Files.delete(each);
        }
        server.files = all.before(all.named("an update, with a patch"));
        assertTrue(device.attempt().contains("was seen already"));
        assertEquals("1.1.0", device.serves());
    }

    @Test
    void aReleaseToGoBackToThatIsDamagedIsNotGoneBackTo() throws Exception {
        byte[] model = all.before(all.named("nothing new")).entrySet().stream()
                .filter(each -> each.getKey().matches(".*/1\\.0\\.0/.*\\.model\\.tflite")).findFirst().get().getValue();
        Files.write(new File(device.folder, "files/" + Bytes.sha256(model)).toPath(), new byte[3]);
        RefusedException error = assertThrows(RefusedException.class, () -> device.client().rollBack("wrong"));
        assertEquals("Look for updates.", error.remedy());
        assertEquals("1.1.0", device.serves());
    }

    @Test
    void aDiskThatDoesNotTakeFilesEndsTheUpdateAndNothingElse() throws Exception {
        device.enrolAnew(temporary.resolve("full").toFile());
        File state = new File(device.folder, "state");
        File aside = new File(device.folder, "aside");
        assertTrue(state.renameTo(aside));
        Files.write(state.toPath(), new byte[0]); // nothing can be written into a file
        device.offered();
        assertTrue(device.attempt().startsWith("STORAGE: cannot write "));
        assertEquals("1.0.0", device.serves());
        assertTrue(state.delete() && aside.renameTo(state));
        assertEquals("UPDATED 1.1.0 []", device.attempt());
    }

    @Test
    void spaceIsLookedForFirst() {
        Store store = new Store(device.folder);
        StorageException error = assertThrows(StorageException.class, () -> store.checkSpace(1L << 60));
        assertTrue(error.getMessage().contains("bytes, "));
    }

    @Test
    void aDownloadThatWasCutGoesOn() throws Exception {
        device.enrolAnew(temporary.resolve("cut").toFile());
        device.offered();
        int[] left = {1};
        server.trick = (path, to) -> {
            byte[] content = server.files.get(path);
            if (!path.endsWith(".esd") || left[0]-- <= 0) return false;
            String head = "HTTP/1.1 200 OK\r\nContent-Length: " + content.length + "\r\n\r\n";
            to.write(head.getBytes("US-ASCII"));
            to.write(content, 0, content.length / 2);
            return true;
        };
        assertEquals("UPDATED 1.1.0 []", device.attempt());
        List<String> patches = server.requests.stream().filter(each -> each.endsWith(".esd")).collect(Collectors.toList());
        assertEquals(1, patches.size() - patches.stream().distinct().count(), "one of them is asked for once more");
        assertEquals(1, server.ranges, "what came of it is gone on with");
    }

    @Test
    void aPartOfAnotherFileIsDropped() throws Exception {
        device.enrolAnew(temporary.resolve("part").toFile());
        device.offered();
        for (String path : server.files.keySet()) {
            if (!path.startsWith("targets/")) continue;
            String name = path.substring(path.lastIndexOf('/') + 1).substring(0, 64);
            Files.write(new File(device.folder, "files/" + name + ".part").toPath(), new byte[40]);
        }
        assertEquals("UPDATED 1.1.0 []", device.attempt());
        assertEquals(0, Arrays.stream(new File(device.folder, "files").list()).filter(each -> each.endsWith(".part")).count());
    }

    @Test
    void oneUpdateAtATime() throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(new File(device.folder, "update.lock"), "rw");
                FileChannel channel = file.getChannel();
                FileLock lock = channel.lock()) {
            assertTrue(lock.isValid());
            assertEquals("UNAVAILABLE: another update is running", device.attempt());
        }
        assertEquals("CURRENT 1.1.0 []", device.attempt());
    }

    @Test
    void anUpdateCanBeEndedByAnotherThread() throws Exception {
        device.enrolAnew(temporary.resolve("ended").toFile());
        device.offered();
        Client client = device.client();
        server.trick = (path, to) -> {
            if (!path.endsWith(".esd")) return false;
            new Thread(client::cancel).start();
            Thread.sleep(2000);
            return true;
        };
        UnavailableException error = assertThrows(UnavailableException.class, () -> client.update((phase, loaded, total) -> {}));
        assertEquals("the update was ended", error.getMessage());
        assertEquals("1.0.0", device.serves());
    }

    @Test
    void aReleaseComesWithTheApplication() throws Exception {
        Node found = all.named("nothing new");
        Map<String, byte[]> files = new HashMap<>();
        byte[][] manifest = {null};
        all.before(found).forEach((path, content) -> {
            Matcher name = Pattern.compile("targets/.*/1\\.1\\.0/tflite-float32/(.*/)?[0-9a-f]{64}\\.(.*)").matcher(path);
            if (!name.matches()) return;
            if (name.group(2).equals("manifest.json")) manifest[0] = content;
            else files.put((name.group(1) == null ? "" : name.group(1)) + name.group(2), content);
        });
        device.folderAnew(temporary.resolve("assets").toFile());
        assertNull(device.client().active());
        assertThrows(RefusedException.class, () -> device.client().adopt(manifest[0], Collections.emptyMap()));
        assertTrue(device.client().adopt(manifest[0], files));
        assertFalse(device.client().adopt(manifest[0], files));
        assertEquals("1.1.0", device.serves());
        server.requests.clear();
        assertEquals("CURRENT 1.1.0 []", device.attempt());
        assertFalse(server.requests.stream().anyMatch(path -> path.endsWith(".tflite")), "it is not fetched again");
    }
}

package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A new release is trusted once it served, and taken back if processes die with it. */
class ProbationTest {
    private static final long HOUR = 3_600_000;

    @TempDir Path temporary;
    private Server server;
    private Device device;

    @BeforeEach
    void updated() throws Exception {
        Vectors.Repositories all = new Vectors.Repositories();
        server = new Server();
        device = new Device(server, all, all.named("an update, with a patch"), temporary.resolve("client").toFile());
        device.enrol();
        device.limits = new Limits().network(5, 1).selfTest(20, 1000).probation(1, 60, 2);
        assertEquals("UPDATED 1.1.0 []", device.meet());
    }

    @AfterEach
    void ended() throws Exception {
        server.close();
    }

    /** A process that began with the release and is gone: its file is there, and nobody holds it. */
    private void dies() throws Exception {
        String manifest = new Place(device.folder, "points/v1").read().active.manifest;
        Path starts = Files.createDirectories(device.folder.toPath().resolve("starts"));
        Files.createTempFile(starts, manifest.substring(0, 16) + "-", ".lock");
    }

    @Test
    void itEndsOnceAProcessServedAndTheTimePassed() throws Exception {
        assertTrue(device.client().status().inProbation());
        try (Start start = device.client().start()) {
            assertEquals("1.1.0", start.release().version());
            start.served();
        }
        assertTrue(device.client().status().inProbation());
        device.now += HOUR;
        device.client().start().close();
        assertFalse(device.client().status().inProbation());
        assertEquals("1.1.0", device.serves());
    }

    @Test
    void processesThatDieBringBackTheReleaseBefore() throws Exception {
        dies();
        try (Start start = device.client().start()) {
            assertEquals("1.1.0", start.release().version());
        }
        dies();
        try (Start start = device.client().start()) {
            assertEquals("1.0.0", start.release().version());
        }
        assertEquals("KEPT 1.0.0 []", device.attempt(), "what failed is not tried again");
        assertEquals(1, device.client().status().failed());
    }

    @Test
    void processesThatLiveOrEndInOrderAreNotCounted() throws Exception {
        Start lives = device.client().start();
        for (int i = 0; i < 5; i++) device.client().start().close();
        assertEquals("1.1.0", device.serves());
        lives.close();
        assertEquals(0, new File(device.folder, "starts").list().length);
    }

    @Test
    void answersThatAreNoGoodBringItBack() throws Exception {
        for (int i = 0; i < 2; i++) {
            try (Start start = device.client().start()) {
                start.failed();
            }
        }
        assertEquals("1.0.0", device.serves());
    }

    @Test
    void withoutAReleaseBeforeItGoesOn() throws Exception {
        device.client().rollBack("by hand");
        assertEquals("1.0.0", device.serves());
        assertThrows(RefusedException.class, () -> device.client().rollBack("again"));
        assertEquals("1.0.0", device.serves());
    }

    @Test
    void aSelfTestThatTakesTheProcessDownIsNotTriedForEver() throws Exception {
        device.client().rollBack("by hand");
        Place place = new Place(device.folder, "points/v1");
        String manifest = place.read().failed.get(0).manifest;
        place.change(copy -> copy.failed = Collections.emptyList());
        place.state.put("testing." + manifest, new byte[2]); // two processes began a self-test, none ended it
        assertTrue(device.attempt().matches("KEPT 1\\.0\\.0 .*the process ended in it, 2 times.*"));
        assertEquals("KEPT 1.0.0 []", device.attempt());
    }
}

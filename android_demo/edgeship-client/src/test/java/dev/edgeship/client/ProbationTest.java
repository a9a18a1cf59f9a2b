package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Map;
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

    /** A process that began with the release, did this, and is gone: what it leaves behind. */
    private void diesAfter(Marked did) throws Exception {
        File starts = new File(device.folder, "starts");
        Start lives = device.client().start();
        did.with(lives);
        File file = starts.listFiles()[0];
        Files.copy(file.toPath(), new File(starts, file.getName().replace("-", "-0")).toPath());
        lives.close();
    }

    private interface Marked {
        void with(Start start) throws Exception;
    }

    @Test
    void whoIsEndedAtRestHasNotFailed() throws Exception {
        for (int i = 0; i < 3; i++) diesAfter(Start::rests);
        diesAfter(start -> {
            start.works();
            start.rests();
        });
        assertEquals("1.1.0", device.client().start().release().version());
        assertEquals(0, new Place(device.folder, "points/v1").read().trial.failures);
    }

    @Test
    void whoIsEndedAtWorkAfterARestHas() throws Exception {
        for (int i = 0; i < 2; i++) {
            diesAfter(start -> {
                start.rests();
                start.works();
            });
        }
        assertEquals("1.0.0", device.client().start().release().version());
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
    void aReleaseThatIsTooSlowIsTriedAgainAfterADayThreeTimesInAll() throws Exception {
        Place place = new Place(device.folder, "points/v1");
        place.change(copy -> {
            new Probation(place, device.limits).goBack(copy, "by hand", device.now);
            copy.failed = Collections.emptyList();
        });
        device.limits = device.limits.selfTest(20, 1);
        device.runner = new SlowRunner("1.1.0");
        for (int day = 0; day < 3; day++) {
            assertTrue(device.attempt().matches("KEPT 1\\.0\\.0 .*1\\.1\\.0: self-test: .* ms where what runs takes .*"));
            assertEquals("KEPT 1.0.0 []", device.attempt(), "not twice a day");
            place.change(copy -> copy.failed = Collections.singletonList(aDayBefore(copy.failed.get(0))));
        }
        device.runner = new TinyRunner();
        assertEquals("KEPT 1.0.0 []", device.attempt(), "three times were enough");
    }

    @Test
    void aReleaseThatWasTooSlowOncePassesTheNextDay() throws Exception {
        Place place = new Place(device.folder, "points/v1");
        String manifest = place.read().active.manifest;
        place.change(copy -> {
            new Probation(place, device.limits).goBack(copy, "by hand", device.now);
            copy.forgive(manifest);
            copy.failForNow(manifest, "it was busy", device.now);
            copy.failed = Collections.singletonList(aDayBefore(copy.failed.get(0)));
        });
        assertEquals("UPDATED 1.1.0 []", device.attempt());
        assertEquals(0, device.client().status().failed(), "it is forgotten");
    }

    /** As if the day had passed, without the metadata's growing old. */
    private static State.Failed aDayBefore(State.Failed found) {
        return new State.Failed(found.manifest, found.reason, found.at - 24 * HOUR, found.times);
    }

    /** Runs one release slowly. */
    private static final class SlowRunner implements Runner {
        private final String slow;

        SlowRunner(String slow) {
            this.slow = slow;
        }

        @Override
        public Session open(File model, Manifest manifest) throws Exception {
            Session fast = new TinyRunner().open(model, manifest);
            if (!slow.equals(manifest.version())) return fast;
            return new Session() {
                @Override
                public Map<String, Tensor> run(Map<String, Tensor> inputs) throws Exception {
                    Thread.sleep(3);
                    return fast.run(inputs);
                }

                @Override
                public void close() throws IOException {
                    fast.close();
                }
            };
        }
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

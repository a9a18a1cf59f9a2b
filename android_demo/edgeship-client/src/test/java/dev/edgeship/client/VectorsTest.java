package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** What clients in all languages are held to. */
class VectorsTest {
    private static final long LIMIT = 1 << 30;

    @TempDir Path folder;

    @Test
    void draws() throws Exception {
        List<Node> draws = Vectors.list(Vectors.read("cohorts.json").field("draws"));
        assertTrue(draws.size() >= 5);
        for (Node each : draws) {
            int found = Rollout.draw(each.field("rollout").text(), each.field("model").text(), each.field("install_id").text());
            assertEquals(each.field("draw").integer(0), found);
        }
    }

    @TestFactory
    List<DynamicTest> patches() throws Exception {
        Node all = Vectors.read("patches.json");
        List<DynamicTest> tests = new ArrayList<>();
        for (Node each : Vectors.list(all.field("good"))) {
            tests.add(dynamicTest(each.field("name").text(), () -> {
                byte[] made = Delta.decode(Vectors.base64(each.field("old")), Vectors.base64(each.field("patch")), LIMIT);
                assertArrayEquals(Vectors.base64(each.field("new")), made);
            }));
        }
        for (Node each : Vectors.list(all.field("bad"))) {
            byte[] old = Vectors.base64(each.field("old"));
            byte[] patch = Vectors.base64(each.field("patch"));
            tests.add(dynamicTest("refused: " + each.field("name").text(),
                    () -> assertThrows(PatchException.class, () -> Delta.decode(old, patch, LIMIT))));
        }
        assertEquals(30, tests.size());
        return tests;
    }

    @TestFactory
    List<DynamicTest> repositories() throws Exception {
        Vectors.Repositories all = new Vectors.Repositories();
        List<DynamicTest> tests = new ArrayList<>();
        for (Node each : all.cases()) {
            String name = each.field("name").text();
            File own = Files.createTempDirectory(folder, "client").toFile();
            tests.add(dynamicTest(name, () -> {
                try (Server server = new Server(); Device device = new Device(server, all, each, own)) {
                    device.enrol();
                    String result = device.meet();
                    assertEquals(each.field("serves").text(), device.serves(), result);
                    assertEquals(each.field("refused").flag(), device.refused(), result);
                }
            }));
        }
        assertTrue(tests.size() >= 62);
        return tests;
    }
}

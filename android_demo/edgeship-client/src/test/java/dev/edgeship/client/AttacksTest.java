package dev.edgeship.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** Each attack is refused or healed with its guards, and succeeds, or gets further, without them. */
class AttacksTest {
    @TempDir Path folder;

    @TestFactory
    List<DynamicTest> holds() {
        List<DynamicTest> tests = new ArrayList<>();
        for (Attacks.Attack each : Attacks.ALL) {
            tests.add(dynamicTest(each.name, () -> {
                String found = Attacks.run(each.name, Files.createTempDirectory(folder, "device").toString());
                assertTrue(found.matches(each.holds), found);
            }));
        }
        return tests;
    }

    @TestFactory
    List<DynamicTest> getsFurtherWithoutGuards() {
        List<DynamicTest> tests = new ArrayList<>();
        for (Attacks.Attack each : Attacks.ALL) {
            tests.add(dynamicTest(each.name, () -> {
                String found = Guards.without(each.guards, each.name, Files.createTempDirectory(folder, "mutant"));
                assertFalse(found.matches(each.holds), found);
                assertTrue(found.matches(each.without), found);
            }));
        }
        return tests;
    }

    @Test
    void eachGuardStandsAgainstAnAttack() {
        Set<String> named = new HashSet<>();
        for (Attacks.Attack each : Attacks.ALL) named.addAll(each.guards);
        assertEquals(Guards.ALL.keySet(), named);
    }
}

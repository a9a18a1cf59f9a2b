package dev.edgeship.demo.core;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;

/** Where releases came from: a file with a line for each, its version and its origin. */
final class Origins {
    private final File file;

    Origins(File file) {
        this.file = file;
    }

    /** Keeps where a release came from, and forgets those that are not here any more. */
    void remember(String version, Desk.Origin from, Collection<String> here) {
        List<String> made = new ArrayList<>();
        made.add(version + " " + from);
        for (String line : lines()) {
            String of = line.split(" ")[0];
            if (!of.equals(version) && here.contains(of)) made.add(line);
        }
        File part = new File(file.getPath() + ".part");
        try {
            Files.write(part.toPath(), made, StandardCharsets.UTF_8);
            Files.move(part.toPath(), file.toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException error) {
            // The screen says that it does not know.
        }
    }

    /** Where a release came from, as far as that is known. */
    Desk.Origin of(String version) {
        for (Desk.Origin each : Desk.Origin.values()) {
            if (lines().contains(version + " " + each)) return each;
        }
        return Desk.Origin.UNKNOWN;
    }

    private List<String> lines() {
        try {
            return Files.readAllLines(file.toPath(), StandardCharsets.UTF_8);
        } catch (IOException error) {
            return Collections.emptyList();
        }
    }
}

package dev.edgeship.demo.core;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What somebody at a computer asks for: words of an intent. Every one is checked here. */
public final class Asked {
    private static final int LONGEST = 4096;

    private final Map<String, String> words;
    private final File folder;

    /**
     * @param words of the intent, by name.
     * @param folder that files lie in.
     */
    public Asked(Map<String, String> words, File folder) {
        this.words = words;
        this.folder = folder;
    }

    /** A word that must be there. Throws IllegalArgumentException. */
    public String text(String name) {
        String found = words.get(name);
        if (found != null && !found.isEmpty() && found.length() <= LONGEST) return found;
        throw new IllegalArgumentException(name + " is missing, or longer than " + LONGEST);
    }

    /** A number within limits. Throws IllegalArgumentException. */
    public double number(String name, double least, double most) {
        try {
            double found = Double.parseDouble(text(name));
            if (found >= least && found <= most) return found;
        } catch (NumberFormatException error) {
            // said below
        }
        throw new IllegalArgumentException(name + " must be a number from " + least + " to " + most);
    }

    /** A file of the folder, by its plain name. Throws IllegalArgumentException where it is not there. */
    public File file(String name) {
        return file(name, text(name));
    }

    /** Files, with commas between. Throws as {@link #file}. */
    public List<File> files(String name) {
        List<File> made = new ArrayList<>();
        for (String each : text(name).split(",")) made.add(file(name, each));
        return made;
    }

    private File file(String name, String value) {
        if (value.matches("[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")) {
            File found = new File(folder, value);
            if (found.isFile()) return found;
        }
        throw new IllegalArgumentException(name + " is no file in " + folder + ": " + value);
    }

    /** Where an answer of this name goes. Throws IllegalArgumentException for another name. */
    public File answer() {
        String id = text("id");
        if (id.matches("[0-9a-f]{8,64}")) return new File(folder, "answer-" + id + ".json");
        throw new IllegalArgumentException("id must be 8 to 64 hexadecimal digits");
    }

    /** Shapes, as {@code 1x32x32x1,1x4}. Throws IllegalArgumentException. */
    public List<int[]> shapes(String name) {
        List<int[]> made = new ArrayList<>();
        for (String each : text(name).split(",")) {
            if (!each.matches("[0-9]{1,8}(x[0-9]{1,8}){0,15}|scalar")) throw new IllegalArgumentException(name + " has no shape " + each);
            String[] sizes = each.equals("scalar") ? new String[0] : each.split("x");
            int[] shape = new int[sizes.length];
            for (int at = 0; at < shape.length; at++) shape[at] = Integer.parseInt(sizes[at]);
            made.add(shape);
        }
        return made;
    }
}

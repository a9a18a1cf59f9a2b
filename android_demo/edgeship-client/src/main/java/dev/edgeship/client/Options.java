package dev.edgeship.client;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.LongSupplier;
import java.util.regex.Pattern;

/** What a client is told once. */
public final class Options {
    private static final Pattern ADDRESS = Pattern.compile("https?://[^?#]+");

    final String repository;
    final byte[] root;
    final Line line;
    final File folder;
    final Runner runner;
    List<String> variants = Arrays.asList("tflite-int8", "tflite-float16", "tflite-dynamic", "tflite-float32");
    String channel;
    Limits limits = new Limits();
    LongSupplier clock = System::currentTimeMillis;

    /**
     * @param repository address of the folder with {@code metadata/} and {@code targets/}.
     * @param root a root.json of the repository, from the application itself: whom this client believes.
     * @param line {@code model/v1}: what the application is written for.
     * @param folder of this client alone; made where it is missing.
     * @param runner what runs models here.
     * @throws InputException for an address or line that is none.
     */
    public Options(String repository, byte[] root, String line, File folder, Runner runner) throws InputException {
        if (!ADDRESS.matcher(repository).matches()) {
            throw new InputException(repository + " is no address of a repository", "Give https://HOST/..., without ? and #.");
        }
        this.repository = repository.replaceAll("/+$", "");
        this.root = root.clone();
        this.line = checked(() -> Line.read(new Node(line, "line")));
        this.folder = folder;
        this.runner = runner;
    }

    /**
     * @param variants that this application runs, best first: {@code tflite-int8}. Without: int8, float16, dynamic, float32.
     * @throws InputException for none, or what is none.
     */
    public Options variants(String... variants) throws InputException {
        if (variants.length == 0) throw new InputException("a client needs a variant", "For example tflite-int8.");
        List<String> made = new ArrayList<>();
        for (String each : variants) {
            made.add(checked(() -> new Node(each, "variant").text(Line.VARIANT, Line.VARIANT_LENGTH)));
        }
        this.variants = Collections.unmodifiableList(made);
        return this;
    }

    /**
     * @param channel that a person put this device into.
     * @throws InputException for what is no name of a channel.
     */
    public Options channel(String channel) throws InputException {
        this.channel = checked(() -> new Node(channel, "channel").text(Line.CHANNEL));
        return this;
    }

    /** @param limits see {@link Limits}. */
    public Options limits(Limits limits) {
        this.limits = limits;
        return this;
    }

    /** @param clock milliseconds since 1970; the system's by default. */
    public Options clock(LongSupplier clock) {
        this.clock = clock;
        return this;
    }

    private interface Reading<T> {
        T read() throws RefusedException;
    }

    private static <T> T checked(Reading<T> reading) throws InputException {
        try {
            return reading.read();
        } catch (RefusedException error) {
            throw new InputException(error.getMessage(), "", error);
        }
    }
}

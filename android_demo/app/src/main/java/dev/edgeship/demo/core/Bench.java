package dev.edgeship.demo.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Times inferences of a file in this process: each alone, after a warm-up, with nothing between two but a clock. */
public final class Bench {
    private static final double MOST_SECONDS = 600;
    private static final int MOST_RUNS = 100_000;
    private static final int MOST_BYTES = 256 << 20;
    private static final int MOST_OUTPUT = 64 << 20;
    private static final double MS = 1e6;

    private final Engine engine;

    public Bench(Engine engine) {
        this.engine = engine;
    }

    /**
     * Measures what is asked for: {@code model}, {@code inputs} and {@code shapes} in the file's order, {@code threads},
     * {@code warmup} seconds, and at least {@code runs} inferences and {@code seconds}.
     *
     * @return what {@code edgeship benchmark} reads; times in milliseconds.
     * @throws Exception what the runtime says; IllegalArgumentException for what cannot be measured.
     */
    public Map<String, Object> measure(Asked asked) throws Exception {
        List<ByteBuffer> inputs = new ArrayList<>();
        for (File each : asked.files("inputs")) inputs.add(content(each));
        int runs = (int) asked.number("runs", 0, MOST_RUNS);
        double seconds = asked.number("seconds", 0, MOST_SECONDS);
        long before = System.nanoTime();
        int threads = (int) asked.number("threads", 1, 64);
        try (Engine.Loaded loaded = engine.open(asked.file("model"), threads, asked.shapes("shapes"))) {
            double load = (System.nanoTime() - before) / MS;
            if (loaded.inputs().size() != inputs.size()) {
                throw new IllegalArgumentException("the file has " + loaded.inputs().size() + " inputs, " + inputs.size() + " came");
            }
            Map<String, Object> made = new LinkedHashMap<>();
            made.put("runtime", engine.name());
            made.put("load_ms", load);
            long start = System.nanoTime();
            made.put("outputs", encoded(loaded.run(inputs)));
            made.put("first_ms", (System.nanoTime() - start) / MS);
            made.put("warm_up_runs", timed(loaded, inputs, 0, asked.number("warmup", 0, MOST_SECONDS)).size());
            made.put("latency_ms", timed(loaded, inputs, runs, seconds));
            made.put("peak_kib", peak());
            return made;
        }
    }

    /** Milliseconds of single inferences, as many and as long as it takes for both. */
    private static List<Object> timed(Engine.Loaded loaded, List<ByteBuffer> inputs, int runs, double seconds) throws Exception {
        List<Object> made = new ArrayList<>();
        long end = System.nanoTime() + (long) (seconds * 1e9);
        while (made.size() < MOST_RUNS && (made.size() < runs || System.nanoTime() < end)) {
            long start = System.nanoTime();
            loaded.run(inputs);
            made.add((System.nanoTime() - start) / MS);
        }
        return made;
    }

    private static String encoded(List<ByteBuffer> outputs) {
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        for (ByteBuffer each : outputs) {
            byte[] bytes = new byte[each.remaining()];
            each.duplicate().get(bytes);
            if (made.size() + bytes.length > MOST_OUTPUT) throw new IllegalArgumentException("outputs of more than 64 MiB");
            made.write(bytes, 0, bytes.length);
        }
        return Base64.getEncoder().encodeToString(made.toByteArray());
    }

    private static ByteBuffer content(File file) throws IOException {
        if (file.length() > MOST_BYTES) throw new IllegalArgumentException(file.getName() + " has more than 256 MiB");
        ByteBuffer made = ByteBuffer.allocateDirect((int) file.length()).order(ByteOrder.LITTLE_ENDIAN);
        try (FileChannel from = FileChannel.open(file.toPath(), StandardOpenOption.READ)) {
            while (made.hasRemaining() && from.read(made) >= 0) continue;
        }
        made.flip();
        return made;
    }

    /** Most memory that this process has had at one time, in KiB, as Linux counts it; null where it does not say. */
    private static Long peak() {
        try {
            for (String line : Files.readAllLines(new File("/proc/self/status").toPath())) {
                if (line.startsWith("VmHWM:")) return Long.parseLong(line.replaceAll("[^0-9]", ""));
            }
        } catch (IOException | NumberFormatException error) {
            // not said
        }
        return null;
    }
}

package dev.edgeship.demo;

import dev.edgeship.client.Client;
import dev.edgeship.client.Limits;
import dev.edgeship.client.Options;
import dev.edgeship.client.Tensor;
import dev.edgeship.client.TinyRunner;
import dev.edgeship.client.Unsigned;
import dev.edgeship.demo.core.Asked;
import dev.edgeship.demo.core.Desk;
import dev.edgeship.demo.core.Engine;
import dev.edgeship.demo.core.EngineRunner;
import dev.edgeship.demo.core.Predictor;
import java.io.File;
import java.io.FileReader;
import java.io.IOException;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/**
 * The app's part on the stand-in for a device: what {@code ShellActivity} does with an intent, in a process of its own. All
 * of it but Android and the runtime is the app's own code. Arguments: a file of settings, then those of {@code am start}.
 * The command {@code predict} is of the stand-in alone: what a screen does with a picture.
 */
public final class StandIn {
    private StandIn() {}

    public static void main(String[] arguments) throws IOException {
        Properties settings = new Properties();
        try (Reader from = new FileReader(arguments[0])) {
            settings.load(from);
        }
        Map<String, String> words = new HashMap<>();
        for (int at = 1; at + 2 < arguments.length; at++) {
            if (arguments[at].equals("--es")) words.put(arguments[at + 1], arguments[at + 2]);
        }
        File shared = new File(settings.getProperty("shared"));
        Files.createDirectories(shared.toPath());
        try {
            serve(settings, new Asked(words, shared));
        } catch (Exception error) { // as an app that crashes: no answer
            error.printStackTrace();
            System.exit(1);
        }
        System.exit(0); // self-tests that do not end are left behind
    }

    private static void serve(Properties settings, Asked asked) throws Exception {
        File folder = new File(settings.getProperty("folder"));
        long now = Long.parseLong(settings.getProperty("now"));
        byte[] root = Files.readAllBytes(new File(settings.getProperty("root")).toPath());
        boolean debuggable = Boolean.parseBoolean(settings.getProperty("debuggable"));
        String line = settings.getProperty("line");
        int starts = Integer.parseInt(settings.getProperty("starts"));
        Limits limits = new Limits().selfTest(20, 1000).probation(starts, 0, 3);
        EngineRunner runner = new EngineRunner(new TinyEngine());
        Options options = new Options(settings.getProperty("repository"), root, line, new File(folder, "client"), runner);
        Client client = new Client(options.variants("tflite-float32").limits(limits).clock(() -> now));
        Map<String, Object> app = new LinkedHashMap<>();
        app.put("package", settings.getProperty("package"));
        app.put("line", line);
        app.put("runtime", new TinyEngine().name());
        app.put("api", 34);
        Unsigned unsigned = new Unsigned(new File(folder, "unsigned"), runner, limits);
        Desk desk = new Desk(client, unsigned, new TinyEngine(), app, debuggable, new File(folder, "origin"));
        if (asked.text("command").equals("predict")) new Predictor(desk, client, runner).predict(new int[1], 1, 1);
        else desk.answer(asked);
    }

    /** Runs the models of the tests, in the place of TensorFlow Lite, whose native code is for Android. */
    private static final class TinyEngine implements Engine {
        @Override
        public String name() {
            return "stand-in 1";
        }

        @Override
        public Loaded open(File model, int threads, List<int[]> shapes) throws IOException {
            TinyRunner.answer(model, new Tensor("float32", new int[] {1, 4}, ByteBuffer.allocate(16)));
            return new Loaded() {
                @Override
                public List<String> inputs() {
                    return Collections.singletonList("x");
                }

                @Override
                public List<String> outputs() {
                    return Collections.singletonList("probabilities");
                }

                @Override
                public List<ByteBuffer> run(List<ByteBuffer> inputs) throws IOException {
                    Tensor x = new Tensor("float32", new int[] {1, 4}, inputs.get(0));
                    return Collections.singletonList(TinyRunner.answer(model, x).data());
                }

                @Override
                public void close() {}
            };
        }
    }
}

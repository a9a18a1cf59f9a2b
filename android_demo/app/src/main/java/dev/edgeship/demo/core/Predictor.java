package dev.edgeship.demo.core;

import dev.edgeship.client.Client;
import dev.edgeship.client.ImageInput;
import dev.edgeship.client.Release;
import dev.edgeship.client.Runner;
import dev.edgeship.client.Start;
import dev.edgeship.client.Tensor;
import dev.edgeship.client.UpdateException;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** The model in use, loaded once, and again after a change of what runs. One prediction at a time. */
public final class Predictor implements AutoCloseable {
    /** What the model says about a picture. */
    public static final class Prediction {
        public final List<Scores.Class> classes;
        /** Of the inference alone, in milliseconds. */
        public final double latencyMs;
        public final String version;

        private Prediction(List<Scores.Class> classes, double latencyMs, String version) {
            this.classes = classes;
            this.latencyMs = latencyMs;
            this.version = version;
        }
    }

    private final Desk desk;
    private final Client client;
    private final Runner runner;
    private Release release;
    private Runner.Session session;
    private Start start;
    private int changes;

    public Predictor(Desk desk, Client client, Runner runner) {
        this.desk = desk;
        this.client = client;
        this.runner = runner;
    }

    /**
     * Runs the model on a picture.
     *
     * @param pixels as {@code Bitmap.getPixels} gives them: ARGB, rows from the top.
     * @param width columns of the picture.
     * @param most classes that are wanted.
     * @throws IOException there is no model, or it takes no pictures.
     * @throws Exception what the runtime says.
     */
    public synchronized Prediction predict(int[] pixels, int width, int most) throws Exception {
        boolean done = false;
        try {
            open();
            Prediction made = run(pixels, width, most);
            done = true;
            return made;
        } finally {
            // A probation that began must end here, whatever went wrong: else it counts as a process that died.
            if (!done) close();
        }
    }

    private Prediction run(int[] pixels, int width, int most) throws Exception {
        ImageInput image = release.manifest().image();
        if (image == null) throw new IOException("the model takes no pictures");
        Map<String, Tensor> inputs = Collections.singletonMap(image.name(), image.tensor(pixels, width));
        try {
            long before = System.nanoTime();
            Map<String, Tensor> outputs = session.run(inputs);
            double latency = (System.nanoTime() - before) / 1e6;
            Prediction made = new Prediction(Scores.top(release.manifest(), outputs, most), latency, release.version());
            if (start != null) start.served();
            return made;
        } catch (UpdateException error) {
            throw error; // the disk is full; the model is not to blame
        } catch (Exception error) {
            if (start != null) start.failed();
            throw error;
        }
    }

    private void open() throws Exception {
        int now = desk.changes();
        if (session != null && changes == now) return;
        close();
        changes = now;
        release = desk.unsigned();
        if (release == null) {
            start = client.start();
            release = start.release();
        }
        if (release == null) throw new IOException("there is no model yet");
        try {
            session = runner.open(release.model(), release.manifest());
        } catch (Exception error) {
            if (start != null) start.failed();
            throw error;
        }
    }

    /** Lets go of the model, for its memory. The next prediction loads what is active then. */
    @Override
    public synchronized void close() throws IOException {
        Runner.Session old = session;
        session = null;
        release = null;
        if (start != null) start.close();
        start = null;
        if (old != null) old.close();
    }
}

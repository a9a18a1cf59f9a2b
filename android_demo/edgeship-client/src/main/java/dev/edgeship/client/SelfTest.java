package dev.edgeship.client;

import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** What a release must show here before it runs: golden samples within tolerances, and its latency. */
final class SelfTest {
    private static final int ROUNDS = 40;
    private static final int WARM_UP = 5;
    /** A machine that does something else for a moment is no fault of the release. */
    private static final int ATTEMPTS = 3;
    /** Below this no difference between two latencies matters, whatever their ratio. */
    private static final double SLACK_MS = 1;

    /** It took too much time, for which a device that is busy with something else may be to blame. */
    static final class TooMuch extends RefusedException {
        private static final long serialVersionUID = 1;

        TooMuch(String why, Throwable cause) {
            super("self-test: " + why, "It is tried again after a day, three times in all.", cause);
        }
    }

    private final Runner runner;
    private final Limits limits;

    SelfTest(Runner runner, Limits limits) {
        this.runner = runner;
        this.limits = limits;
    }

    /**
     * Tries a release, in a thread of its own, which is left behind where it does not end.
     *
     * @param release with its golden samples.
     * @param current what runs; null: nothing does.
     * @throws TooMuch it does not end, or is too slow.
     * @throws RefusedException it fails, or gives other outputs than the golden ones.
     * @throws UnavailableException nothing can be tried now.
     */
    void check(Release release, Release current) throws UpdateException {
        FutureTask<Void> test = new FutureTask<>(() -> {
            examine(release, current);
            return null;
        });
        Thread thread = new Thread(test, "edgeship-self-test");
        thread.setDaemon(true);
        thread.start();
        try {
            test.get((long) (limits.testSeconds * 1000), TimeUnit.MILLISECONDS);
        } catch (TimeoutException error) {
            test.cancel(true);
            throw new TooMuch("it does not end within " + limits.testSeconds + " s", error);
        } catch (InterruptedException error) {
            test.cancel(true);
            Thread.currentThread().interrupt();
            throw new UnavailableException("the update was ended", "");
        } catch (ExecutionException error) {
            Throwable cause = error.getCause();
            if (cause instanceof UpdateException) throw (UpdateException) cause;
            boolean isDevice = cause instanceof UnsupportedOperationException || cause instanceof LinkageError;
            if (isDevice || cause instanceof OutOfMemoryError) {
                throw new UnavailableException("nothing can be tried here: " + cause, "", cause, true);
            }
            throw refused(String.valueOf(cause), cause);
        }
    }

    private static RefusedException refused(String why, Throwable cause) {
        return new RefusedException("self-test: " + why, "The release is not tried again.", cause);
    }

    private void examine(Release release, Release current) throws Exception {
        Manifest manifest = release.manifest();
        Map<String, Tensor> inputs = arrays(release, manifest.goldenInputs());
        Map<String, Tensor> golden = arrays(release, manifest.goldenOutputs());
        int count = golden.values().iterator().next().shape()[0];
        try (Runner.Session session = runner.open(release.model(), manifest)) {
            List<Map<String, Tensor>> found = new ArrayList<>();
            for (int at = 0; at < count; at++) found.add(session.run(feed(manifest, inputs, at)));
            for (TensorSpec spec : manifest.outputs()) compare(spec, golden.get(spec.name()), found, manifest);
            checkSpeed(session, feed(manifest, inputs, 0), manifest, current);
        }
    }

    private static Map<String, Tensor> arrays(Release release, Map<String, String> names) throws Exception {
        Map<String, Tensor> made = new LinkedHashMap<>();
        for (Map.Entry<String, String> each : names.entrySet()) {
            byte[] bytes = Files.readAllBytes(release.file(each.getValue()).toPath());
            Tensor found = Npy.read(bytes, each.getValue());
            if (found.shape().length == 0) throw refused(each.getValue() + " has no samples", null);
            made.put(each.getKey(), found);
        }
        return made;
    }

    private static Map<String, Tensor> feed(Manifest manifest, Map<String, Tensor> inputs, int at) {
        Map<String, Tensor> made = new LinkedHashMap<>();
        for (TensorSpec spec : manifest.inputs()) made.put(spec.name(), inputs.get(spec.name()).sample(at).stored(spec));
        return made;
    }

    private void compare(TensorSpec spec, Tensor golden, List<Map<String, Tensor>> found, Manifest manifest)
            throws RefusedException {
        Manifest.Tolerance tolerance = manifest.tolerance(runner.isLiteRt());
        double furthest = 0;
        int same = 0;
        int compared = 0;
        boolean rows = golden.isFloat() && golden.shape().length > 1;
        for (int at = 0; at < found.size(); at++) {
            Tensor wanted = golden.sample(at);
            Tensor given = found.get(at).get(spec.name());
            if (given == null || given.size() != wanted.size()) {
                throw refused(spec.name() + " is not of the golden output's shape", null);
            }
            given = given.real(spec);
            for (int i = 0; i < wanted.size(); i++) {
                double distance = Math.abs(given.get(i) - wanted.get(i));
                if (!(distance <= furthest)) furthest = distance; // NaN stays
                if (!rows && given.get(i) == wanted.get(i)) same++;
            }
            if (rows && largest(given) == largest(wanted)) same++;
            compared += rows ? 1 : wanted.size();
        }
        double most = tolerance.maxAbs.get(spec.name());
        if (!(furthest <= most)) {
            throw refused(spec.name() + " differs by " + furthest + " from its golden output, " + most + " is allowed", null);
        }
        Double least = tolerance.agreement.get(spec.name());
        if (least != null && same < least * compared) {
            throw refused(spec.name() + " agrees with its golden output for " + same + " of " + compared, null);
        }
    }

    private static int largest(Tensor of) {
        int best = 0;
        for (int at = 1; at < of.size(); at++) if (of.get(at) > of.get(best)) best = at;
        return best;
    }

    /** Times single inferences of the release and of what runs, in turns, so that both see the same moments. */
    private void checkSpeed(Runner.Session session, Map<String, Tensor> feed, Manifest manifest, Release current)
            throws Exception {
        try (Runner.Session other = comparable(current, manifest)) {
            for (int attempt = 1; ; attempt++) {
                double[] own = new double[ROUNDS];
                double[] others = new double[ROUNDS];
                for (int turn = -WARM_UP; turn < ROUNDS; turn++) {
                    double time = milliseconds(session, feed);
                    double before = other == null ? 0 : milliseconds(other, feed);
                    if (turn >= 0) own[turn] = time;
                    if (turn >= 0) others[turn] = before;
                }
                String why = slowness(own, other == null ? null : others, manifest.latencyMs());
                if (why == null) return;
                if (attempt == ATTEMPTS) throw new TooMuch(why, null);
            }
        }
    }

    /** What runs, where it can be compared with: it takes the same inputs. */
    private Runner.Session comparable(Release current, Manifest manifest) {
        if (current == null || !types(current.manifest()).equals(types(manifest))) return null;
        try {
            return runner.open(current.model(), current.manifest());
        } catch (Exception error) {
            return null; // it is no fault of the new one
        }
    }

    private static List<String> types(Manifest of) {
        List<String> made = new ArrayList<>();
        for (TensorSpec each : of.inputs()) made.add(each.name() + each.dtype() + each.shape());
        return made;
    }

    private static double milliseconds(Runner.Session session, Map<String, Tensor> feed) throws Exception {
        long began = System.nanoTime();
        session.run(feed);
        return (System.nanoTime() - began) / 1e6;
    }

    /** Why a release is too slow; null: it is not. */
    private String slowness(double[] own, double[] others, Double budget) {
        Arrays.sort(own);
        double late = own[(int) Math.ceil(0.95 * own.length) - 1];
        if (budget != null && late > budget) return late + " ms in 95 of 100 inferences, the budget is " + budget + " ms";
        if (others == null) return null;
        Arrays.sort(others);
        double now = own[own.length / 2];
        double before = others[others.length / 2];
        if (now <= limits.slowdown * before + SLACK_MS) return null;
        return now + " ms where what runs takes " + before + " ms; " + limits.slowdown + " times is allowed";
    }
}

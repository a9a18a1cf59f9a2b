package dev.edgeship.demo.core;

import dev.edgeship.client.Manifest;
import dev.edgeship.client.Tensor;
import dev.edgeship.client.TensorSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** What a model says about a picture, in words. */
public final class Scores {
    /** A class with its score. */
    public static final class Class {
        public final String label;
        public final double score;

        Class(String label, double score) {
            this.label = label;
            this.score = score;
        }
    }

    private Scores() {}

    /**
     * The classes with the largest scores, the largest first.
     *
     * @param outputs of one sample, as the file stores them.
     * @param most that are wanted.
     */
    public static List<Class> top(Manifest manifest, Map<String, Tensor> outputs, int most) {
        TensorSpec spec = manifest.outputs().get(0);
        double[] values = outputs.get(spec.name()).values(spec);
        List<Class> made = new ArrayList<>();
        boolean named = manifest.labels().size() == values.length;
        for (int at = 0; at < values.length; at++) {
            made.add(new Class(named ? manifest.labels().get(at) : String.valueOf(at), values[at]));
        }
        made.sort((a, b) -> Double.compare(b.score, a.score));
        return made.subList(0, Math.min(most, made.size()));
    }
}

package dev.edgeship.client;

import java.util.List;

/** An input or output as the manifest describes it. */
public final class TensorSpec {
    private final String name;
    private final List<Long> shape;
    private final String dtype;
    private final double scale;
    private final long zeroPoint;

    TensorSpec(String name, List<Long> shape, String dtype, double scale, long zeroPoint) {
        this.name = name;
        this.shape = shape;
        this.dtype = dtype;
        this.scale = scale;
        this.zeroPoint = zeroPoint;
    }

    /** As the original model calls it. */
    public String name() {
        return name;
    }

    /** Samples first; -1: dynamic. */
    public List<Long> shape() {
        return shape;
    }

    /** As NumPy calls it: {@code float32}, {@code int8}. */
    public String dtype() {
        return dtype;
    }

    /** Whether the file holds whole numbers q for real numbers (q - {@link #zeroPoint}) {@link #scale}. */
    public boolean isQuantized() {
        return scale > 0;
    }

    /** See {@link #isQuantized}. */
    public double scale() {
        return scale;
    }

    /** See {@link #isQuantized}. */
    public long zeroPoint() {
        return zeroPoint;
    }
}

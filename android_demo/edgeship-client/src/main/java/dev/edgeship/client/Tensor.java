package dev.edgeship.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** An array of numbers as a runtime takes and gives it. */
public final class Tensor {
    private final String dtype;
    private final int[] shape;
    private final ByteBuffer data;

    /**
     * @param dtype {@code float32}, {@code float64}, {@code int8}, {@code uint8}, {@code int16}, {@code int32}, {@code int64}
     *     or {@code bool}.
     * @param shape samples first.
     * @param data all values, little-endian, in C order; from its position to its limit.
     * @throws IllegalArgumentException for another type, or fewer or more bytes than the shape has.
     */
    public Tensor(String dtype, int[] shape, ByteBuffer data) {
        this.dtype = dtype;
        this.shape = shape.clone();
        this.data = data.slice().order(ByteOrder.LITTLE_ENDIAN);
        long count = 1;
        for (int size : shape) count *= size;
        if (count * width(dtype) != this.data.capacity()) {
            throw new IllegalArgumentException(this.data.capacity() + " bytes are no " + dtype + Arrays.toString(shape));
        }
    }

    /** See the constructor. */
    public String dtype() {
        return dtype;
    }

    /** See the constructor. */
    public int[] shape() {
        return shape.clone();
    }

    /** All values, little-endian, in C order; another view at each call. */
    public ByteBuffer data() {
        return data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
    }

    /** How many values there are. */
    public int size() {
        return data.capacity() / width(dtype);
    }

    /** A value, counted in C order. */
    public double get(int at) {
        switch (dtype) {
            case "float32": return data.getFloat(4 * at);
            case "float64": return data.getDouble(8 * at);
            case "int8": return data.get(at);
            case "int16": return data.getShort(2 * at);
            case "int32": return data.getInt(4 * at);
            case "int64": return data.getLong(8 * at);
            default: return data.get(at) & 255;
        }
    }

    private void set(int at, double value) {
        switch (dtype) {
            case "float32": data.putFloat(4 * at, (float) value); break;
            case "float64": data.putDouble(8 * at, value); break;
            case "int16": data.putShort(2 * at, (short) value); break;
            case "int32": data.putInt(4 * at, (int) value); break;
            case "int64": data.putLong(8 * at, (long) value); break;
            default: data.put(at, (byte) (int) value);
        }
    }

    boolean isFloat() {
        return dtype.startsWith("float");
    }

    /** One of the samples, as a batch of one. */
    Tensor sample(int at) {
        int[] one = shape.clone();
        one[0] = 1;
        int bytes = shape[0] == 0 ? 0 : data.capacity() / shape[0];
        ByteBuffer part = data();
        part.position(at * bytes).limit((at + 1) * bytes);
        return new Tensor(dtype, one, part);
    }

    /** Real numbers as a file holds them: q = round(r / scale) + zero point, cut to the type. */
    Tensor stored(TensorSpec spec) {
        if (!spec.isQuantized() || !isFloat()) return this;
        Tensor made = empty(spec.dtype());
        long least = spec.dtype().startsWith("u") ? 0 : -(1L << 8 * width(spec.dtype()) - 1);
        long most = least + (1L << 8 * width(spec.dtype())) - 1;
        for (int at = 0; at < size(); at++) {
            made.set(at, Math.max(least, Math.min(most, Math.rint(get(at) / spec.scale()) + spec.zeroPoint())));
        }
        return made;
    }

    /** Inverse of {@link #stored}. */
    Tensor real(TensorSpec spec) {
        if (!spec.isQuantized() || isFloat()) return this;
        Tensor made = empty("float32");
        for (int at = 0; at < size(); at++) made.set(at, (get(at) - spec.zeroPoint()) * spec.scale());
        return made;
    }

    /** The same numbers in another type, which must be able to hold them. */
    Tensor as(String of) {
        Tensor made = empty(of);
        for (int at = 0; at < size(); at++) made.set(at, get(at));
        return made;
    }

    /** Samples of outputs as real numbers, whatever the file holds. */
    public double[] values(TensorSpec spec) {
        Tensor real = real(spec);
        double[] made = new double[real.size()];
        for (int at = 0; at < made.length; at++) made[at] = real.get(at);
        return made;
    }

    private Tensor empty(String of) {
        return new Tensor(of, shape, ByteBuffer.allocate(size() * width(of)));
    }

    private static int width(String dtype) {
        switch (dtype) {
            case "int8": case "uint8": case "bool": return 1;
            case "int16": return 2;
            case "float32": case "int32": return 4;
            case "float64": case "int64": return 8;
            default: throw new IllegalArgumentException(dtype + " is no type of a tensor here");
        }
    }
}

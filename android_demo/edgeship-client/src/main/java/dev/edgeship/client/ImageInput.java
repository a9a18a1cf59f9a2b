package dev.edgeship.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * How a picture becomes an input of a model, pixel by pixel as the training data did (docs/labels-and-preprocessing.md):
 * resized, in the model's channels, (value * scale - mean) / std, each step in float32, and quantized where the file is.
 */
public final class ImageInput {
    private final TensorSpec spec;
    private final int height;
    private final int width;
    private final String channels;
    private final double scale;
    private final double[] mean;
    private final double[] std;

    private ImageInput(TensorSpec spec, String channels, double scale, double[] mean, double[] std) {
        this.spec = spec;
        height = (int) (long) spec.shape().get(1);
        width = (int) (long) spec.shape().get(2);
        this.channels = channels;
        this.scale = scale;
        this.mean = mean;
        this.std = std;
    }

    /** Reads the preprocessing of an input; null where it is not that of one image of a size that is known. */
    static ImageInput read(TensorSpec spec, Node node) throws RefusedException {
        node.closed("scale", "resize", "channels", "mean", "std", "value_range", "given_dtype", "steps");
        String channels = node.nullable("channels", each -> each.oneOf("grey", "RGB", "RGBA", "BGR"));
        Double scale = node.nullable("scale", each -> each.number(Double.MIN_VALUE, Double.MAX_VALUE));
        double[] mean = numbers(node.field("mean"));
        double[] std = numbers(node.field("std"));
        int depth = channels == null ? 0 : channels.equals("grey") ? 1 : channels.equals("RGBA") ? 4 : 3;
        boolean fits = spec.shape().size() == 4 && spec.shape().get(3) == depth && isSide(spec.shape().get(1)) && isSide(spec.shape().get(2));
        fits &= isSpread(mean, depth) && isSpread(std, depth);
        return fits ? new ImageInput(spec, channels, scale == null ? 1 : scale, mean, std) : null;
    }

    private static double[] numbers(Node node) throws RefusedException {
        double[] made = new double[node.list(0, 65_536, each -> each).size()];
        int at = 0;
        for (double each : node.list(0, 65_536, found -> found.number(-Double.MAX_VALUE, Double.MAX_VALUE))) made[at++] = each;
        return made;
    }

    private static boolean isSide(long size) {
        return size > 0 && size <= 8192;
    }

    private static boolean isSpread(double[] numbers, int depth) {
        return numbers.length <= 1 || numbers.length == depth;
    }

    /** Of the input. */
    public String name() {
        return spec.name();
    }

    /** Rows of the input. */
    public int height() {
        return height;
    }

    /** Columns of the input. */
    public int width() {
        return width;
    }

    /**
     * The input for a picture, as the file stores it.
     *
     * @param pixels as {@code Bitmap.getPixels} gives them: ARGB, rows from the top.
     * @param pixelWidth columns of the picture; what is transparent is white, unless the model takes alpha itself.
     */
    public Tensor tensor(int[] pixels, int pixelWidth) {
        int depth = (int) (long) spec.shape().get(3);
        int[] size = {pixels.length / pixelWidth, pixelWidth, depth};
        byte[] resized = Resize.resize(bytes(pixels, depth), size, height, width);
        int[] shape = {1, height, width, depth};
        if (!spec.isQuantized() && !spec.dtype().startsWith("float")) {
            return whole(resized, shape);
        }
        ByteBuffer made = ByteBuffer.allocateDirect(4 * resized.length).order(ByteOrder.LITTLE_ENDIAN);
        float[][] tables = new float[depth][];
        for (int channel = 0; channel < depth; channel++) tables[channel] = table(channel);
        for (int at = 0; at < resized.length; at++) made.putFloat(tables[at % depth][resized[at] & 255]);
        made.flip();
        return new Tensor("float32", shape, made).stored(spec);
    }

    /** Inputs of whole numbers take pixels as they are. */
    private Tensor whole(byte[] resized, int[] shape) {
        Tensor pixels = new Tensor("uint8", shape, ByteBuffer.wrap(resized));
        return pixels.as(spec.dtype());
    }

    /** What each of the 256 bytes becomes in a channel. */
    private float[] table(int channel) {
        float[] made = new float[256];
        for (int value = 0; value < 256; value++) {
            made[value] = value * (float) scale;
            if (mean.length > 0) made[value] -= (float) mean[mean.length == 1 ? 0 : channel];
            if (std.length > 0) made[value] /= (float) std[std.length == 1 ? 0 : channel];
        }
        return made;
    }

    /** Channels in the model's order; grey is the luma of ITU-R 601-2 in Pillow's fixed-point numbers. */
    private byte[] bytes(int[] pixels, int depth) {
        byte[] made = new byte[pixels.length * depth];
        int at = 0;
        boolean swaps = channels.equals("BGR");
        for (int pixel : pixels) {
            int alpha = depth == 4 ? 255 : pixel >>> 24;
            int red = onWhite(pixel >> 16 & 255, alpha);
            int green = onWhite(pixel >> 8 & 255, alpha);
            int blue = onWhite(pixel & 255, alpha);
            if (depth == 1) {
                made[at++] = (byte) (red * 19595 + green * 38470 + blue * 7471 + 0x8000 >> 16);
                continue;
            }
            made[at++] = (byte) (swaps ? blue : red);
            made[at++] = (byte) green;
            made[at++] = (byte) (swaps ? red : blue);
            if (depth == 4) made[at++] = (byte) (pixel >>> 24);
        }
        return made;
    }

    /** A color with what is transparent of it in white, rounded as Pillow does. */
    private static int onWhite(int color, int alpha) {
        int sum = 255 * (255 - alpha) + color * alpha + 128;
        return (sum >> 8) + sum >> 8;
    }
}

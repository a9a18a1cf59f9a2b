package dev.edgeship.client;

/**
 * Resizing bit by bit as Pillow's {@code Image.resize(size, BILINEAR)}, which training data went through: a triangle filter,
 * widened by the factor when shrinking, along rows and along columns, each rounded to bytes. Weights are fixed-point numbers
 * of 22 bits. A {@code Bitmap} that Android scales has other pixels.
 */
final class Resize {
    /** Bits of a weight behind the point: 32, less 8 for the byte and 2 against overflow. */
    private static final int BITS = 22;

    /** First source index of each target index, how many weights it has, and {@code most} weights for each. */
    private final int[] first;
    private final int[] count;
    private final int[] values;
    private final int most;

    private Resize(int from, int to) {
        double scale = (double) from / to;
        double support = Math.max(scale, 1);
        most = (int) Math.ceil(support) * 2 + 1;
        first = new int[to];
        count = new int[to];
        values = new int[to * most];
        for (int target = 0; target < to; target++) {
            double center = (target + 0.5) * scale;
            int low = Math.max((int) (center - support + 0.5), 0);
            int high = Math.min((int) (center + support + 0.5), from);
            double[] row = new double[high - low];
            double sum = 0;
            for (int k = 0; k < row.length; k++) sum += row[k] = Math.max(1 - Math.abs((k + low - center + 0.5) * (1 / support)), 0);
            for (int k = 0; k < row.length; k++) values[target * most + k] = (int) (0.5 + row[k] / sum * (1 << BITS));
            first[target] = low;
            count[target] = row.length;
        }
    }

    /**
     * @param data bytes of an image, (height, width, channels).
     * @param size its height, width and channels.
     * @return the same as (toHeight, toWidth, channels).
     */
    static byte[] resize(byte[] data, int[] size, int toHeight, int toWidth) {
        int height = size[0];
        int width = size[1];
        int channels = size[2];
        // Columns first where their height shrinks by far the most, as Pillow 13 does it; it decides where bytes are rounded.
        if (height > toHeight && height - toHeight > 2L * (width - toWidth)) {
            byte[] columns = height == toHeight ? data : along(data, 1, height, toHeight, width * channels);
            return width == toWidth ? columns : along(columns, toHeight, width, toWidth, channels);
        }
        byte[] rows = width == toWidth ? data : along(data, height, width, toWidth, channels);
        return height == toHeight ? rows : along(rows, 1, height, toHeight, toWidth * channels);
    }

    /** Along the middle axis of (outer, from, inner). */
    private static byte[] along(byte[] data, int outer, int from, int to, int inner) {
        Resize by = new Resize(from, to);
        byte[] made = new byte[outer * to * inner];
        for (int row = 0; row < outer; row++) {
            for (int target = 0; target < to; target++) {
                int start = (row * from + by.first[target]) * inner;
                for (int i = 0; i < inner; i++) {
                    int sum = 1 << BITS - 1;
                    for (int k = 0; k < by.count[target]; k++) {
                        sum += (data[start + k * inner + i] & 255) * by.values[target * by.most + k];
                    }
                    made[(row * to + target) * inner + i] = (byte) Math.max(0, Math.min(255, sum >> BITS));
                }
            }
        }
        return made;
    }
}

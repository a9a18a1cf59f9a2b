package dev.edgeship.client;

/** Bits that end where another reader would begin: the last byte has a 1 before the first of them. */
final class Backward {
    private final byte[] bytes;
    private int left;

    Backward(byte[] bytes) {
        this.bytes = bytes;
        int last = bytes.length == 0 ? 0 : bytes[bytes.length - 1] & 255;
        Zstd.check(last > 0);
        left = 8 * (bytes.length - 1) + Zstd.highBit(last);
    }

    /** Bits that are left; negative: so many more were read than there are. */
    int left() {
        return left;
    }

    /** The next bits, at most 31; zeros where there are no more. */
    int peek(int count) {
        int start = left - count;
        long found = 0;
        for (int at = (Math.max(0, left) + 7 >> 3) - 1; at >= Math.max(0, start) >> 3; at--) found = found << 8 | bytes[at] & 255;
        if (start >= 0) return (int) (found >>> (start & 7) & (1L << count) - 1);
        return (int) ((found & (1L << Math.max(0, left)) - 1) << Math.min(32, -start) & (1L << count) - 1);
    }

    int read(int count) {
        int found = peek(count);
        skip(count);
        return found;
    }

    void skip(int count) {
        left -= count;
    }
}

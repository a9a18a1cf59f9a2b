package dev.edgeship.client;

/** Bits that are stored as they are, the lowest of a byte first. */
final class Bits {
    private final byte[] bytes;
    private long at;

    Bits(byte[] bytes) {
        this.bytes = bytes;
    }

    /** At most 32 of them. */
    long take(int count) throws PatchException {
        if (at + count > 8L * bytes.length) throw new PatchException("the patch is cut off");
        long found = 0;
        int first = (int) (at >> 3);
        int last = (int) (at + count + 7 >> 3);
        for (int from = last - 1; from >= first; from--) found = found << 8 | bytes[from] & 255;
        found = found >>> (at & 7) & (1L << count) - 1;
        at += count;
        return found;
    }
}

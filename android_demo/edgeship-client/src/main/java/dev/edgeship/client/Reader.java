package dev.edgeship.client;

import java.util.Arrays;

/** Bytes of a patch, one part after another; what is not there is refused. */
final class Reader {
    private final byte[] bytes;
    private int at;

    Reader(byte[] bytes) {
        this.bytes = bytes;
    }

    int at() {
        return at;
    }

    byte[] take(long count) throws PatchException {
        if (count > bytes.length - at) throw new PatchException("the patch is cut off");
        at += (int) count;
        return Arrays.copyOfRange(bytes, at - (int) count, at);
    }

    byte[] rest() {
        return Arrays.copyOfRange(bytes, at, bytes.length);
    }

    /** Unsigned, 7 bits to a byte, lowest first, at most 5 bytes. */
    long number() throws PatchException {
        long value = 0;
        for (int shift = 0; shift < 35; shift += 7) {
            if (at >= bytes.length) throw new PatchException("the patch is cut off");
            byte each = bytes[at++];
            value |= (each & 127L) << shift;
            if (each >= 0) return value;
        }
        throw new PatchException("the patch has a number that is too large");
    }
}

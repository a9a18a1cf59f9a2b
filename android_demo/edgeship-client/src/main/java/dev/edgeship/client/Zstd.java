package dev.edgeship.client;

import java.io.IOException;
import java.util.Arrays;

/**
 * Zstandard (RFC 8878), which no Android decodes: one frame without a dictionary. Names are those of the RFC. Its checksum
 * is not looked at: whoever calls this has a SHA-256.
 */
final class Zstd {
    private static final int MAGIC = 0xfd2fb528;
    private static final int MOST_BLOCK = 1 << 17;
    private static final int LITERALS = 0, OFFSETS = 1, MATCHES = 2;
    private static final int[] LITERAL_BITS = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    private static final int[] MATCH_BITS = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    private static final int[] LITERAL_BASES = bases(LITERAL_BITS, 0);
    private static final int[] MATCH_BASES = bases(MATCH_BITS, 3);
    /** What holds where no table is written (section 3.1.1.3.2.2), of literal lengths, offsets and match lengths. */
    private static final Fse[] PLAIN = {
        new Fse(6, new int[] {
            4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1}),
        new Fse(5, new int[] {1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}),
        new Fse(6, new int[] {
            1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}),
    };
    private static final int[] MOST_LOG = {9, 8, 9};
    private static final int[] MOST_SYMBOLS = {36, 32, 53};

    private final byte[] made;
    private int at;
    private Huffman huffman;
    private final Fse[] tables = new Fse[3];
    private final int[] offsets = {1, 4, 8};

    private Zstd(byte[] made) {
        this.made = made;
    }

    /** Each code begins where the one before ends. */
    private static int[] bases(int[] bits, int first) {
        int[] made = new int[bits.length];
        int next = first;
        for (int code = 0; code < bits.length; code++) {
            made[code] = next;
            next += 1 << bits[code];
        }
        return made;
    }

    static void check(boolean holds) {
        if (!holds) throw new IllegalArgumentException("it is broken");
    }

    static int highBit(int value) {
        return 31 - Integer.numberOfLeadingZeros(value);
    }

    /** Bytes of a little-endian number from there on; those that are not there are 0. */
    static int number(byte[] bytes, int at, int count) {
        int found = 0;
        for (int i = Math.min(count, bytes.length - at) - 1; i >= 0; i--) found = found << 8 | bytes[at + i] & 255;
        return found;
    }

    /**
     * Decodes into {@code made}.
     *
     * @return how many bytes there are; what is broken, or is more than fits, throws an unchecked exception.
     */
    static int decode(byte[] packed, byte[] made) throws IOException {
        int head = packed.length < 6 ? 11 : packed[4] & 255;
        // Else it is no frame, has a reserved bit, or a dictionary.
        check((head & 11) == 0 && number(packed, 0, 4) == MAGIC);
        int single = head >> 5 & 1;
        int at = 5 + (single == 1 ? 0 : 1) + new int[] {single, 2, 4, 8}[head >> 6];
        Zstd frame = new Zstd(made);
        for (boolean last = false; !last; ) {
            check(at + 3 <= packed.length);
            int block = number(packed, at, 3);
            int type = block >> 1 & 3;
            int length = block >> 3;
            last = (block & 1) == 1;
            at += 3;
            int end = at + (type == 1 ? 1 : length);
            check(type < 3 && end <= packed.length && length <= MOST_BLOCK);
            if (type == 0) frame.put(packed, at, length);
            else if (type == 1) frame.repeat(packed[at], length);
            else frame.compressed(Arrays.copyOfRange(packed, at, end));
            at = end;
        }
        check(at + (head & 4) == packed.length); // the checksum
        return frame.at;
    }

    private void put(byte[] bytes, int from, int count) {
        check(count <= made.length - at && from + count <= bytes.length);
        System.arraycopy(bytes, from, made, at, count);
        at += count;
    }

    private void repeat(byte value, int count) {
        check(count <= made.length - at);
        Arrays.fill(made, at, at += count, value);
    }

    private void compressed(byte[] block) {
        int[] used = {0};
        byte[] literals = literals(block, used);
        sequences(Arrays.copyOfRange(block, used[0], block.length), literals);
    }

    /** Section 3.1.1.3.1: the literals; {@code used}: how many bytes they took. */
    private byte[] literals(byte[] block, int[] used) {
        check(block.length > 0);
        int type = block[0] & 3;
        int format = block[0] >> 2 & 3;
        long head = 0;
        for (int i = Math.min(5, block.length) - 1; i >= 0; i--) head = head << 8 | block[i] & 255;
        if (type < 2) {
            int start = new int[] {1, 2, 1, 3}[format];
            int size = (int) (head >> new int[] {3, 4, 3, 4}[format]) & (1 << new int[] {5, 12, 5, 20}[format]) - 1;
            used[0] = start + (type == 1 ? 1 : size);
            check(size <= MOST_BLOCK && used[0] <= block.length);
            if (type == 0) return Arrays.copyOfRange(block, start, used[0]);
            byte[] made = new byte[size];
            Arrays.fill(made, block[start]);
            return made;
        }
        int start = new int[] {3, 3, 4, 5}[format];
        int bits = new int[] {10, 10, 14, 18}[format];
        int size = (int) (head >> 4) & (1 << bits) - 1;
        int end = start + ((int) (head >> 4 + bits) & (1 << bits) - 1);
        check(end <= block.length && size <= MOST_BLOCK);
        byte[] streams = Arrays.copyOfRange(block, start, end);
        if (type == 2) {
            int[] taken = {0};
            huffman = Huffman.read(streams, taken);
            streams = Arrays.copyOfRange(streams, taken[0], streams.length);
        }
        check(huffman != null);
        byte[] made = new byte[size];
        if (format == 0) huffman.decode(streams, made, 0, size);
        else fourStreams(streams, made);
        used[0] = end;
        return made;
    }

    private void fourStreams(byte[] streams, byte[] into) {
        int part = into.length + 3 >> 2;
        int from = 6;
        check(streams.length >= 6);
        for (int i = 0; i < 4; i++) {
            int end = i < 3 ? from + number(streams, 2 * i, 2) : streams.length;
            check(from <= end && end <= streams.length && i * part <= into.length);
            huffman.decode(Arrays.copyOfRange(streams, from, end), into, i * part, Math.min(into.length, (i + 1) * part));
            from = end;
        }
    }

    /** Section 3.1.1.3.2. */
    private void sequences(byte[] bytes, byte[] literals) {
        check(bytes.length > 0);
        int first = bytes[0] & 255;
        int[] from = {first < 128 ? 1 : first < 255 ? 2 : 3};
        int count = first < 128 ? first : first < 255 ? (first - 128 << 8) + number(bytes, 1, 1) : number(bytes, 1, 2) + 0x7f00;
        if (count == 0) {
            put(literals, 0, literals.length);
            return;
        }
        check(from[0] < bytes.length);
        int modes = bytes[from[0]++];
        for (int kind = 0; kind < 3; kind++) tables[kind] = table(bytes, from, kind, modes >> 6 - 2 * kind & 3);
        Backward bits = new Backward(Arrays.copyOfRange(bytes, from[0], bytes.length));
        int[] states = new int[3];
        for (int kind = 0; kind < 3; kind++) states[kind] = bits.read(tables[kind].log);
        int literal = 0;
        for (int i = 1; i <= count; i++) {
            int[] codes = new int[3];
            for (int kind = 0; kind < 3; kind++) codes[kind] = tables[kind].symbols[states[kind]];
            check(codes[LITERALS] < 36 && codes[OFFSETS] < 31 && codes[MATCHES] < 53);
            int offset = (1 << codes[OFFSETS]) + bits.read(codes[OFFSETS]);
            int match = MATCH_BASES[codes[MATCHES]] + bits.read(MATCH_BITS[codes[MATCHES]]);
            int length = LITERAL_BASES[codes[LITERALS]] + bits.read(LITERAL_BITS[codes[LITERALS]]);
            for (int kind : new int[] {LITERALS, MATCHES, OFFSETS}) {
                if (i < count) states[kind] = tables[kind].next(states[kind], bits);
            }
            check(length <= literals.length - literal && bits.left() >= 0);
            put(literals, literal, length);
            literal += length;
            copy(offset(offset, length), match);
        }
        check(bits.left() == 0);
        put(literals, literal, literals.length - literal);
    }

    private Fse table(byte[] bytes, int[] from, int kind, int mode) {
        if (mode == 0) return PLAIN[kind];
        if (mode == 1) {
            check(from[0] < bytes.length);
            return Fse.only(bytes[from[0]++]);
        }
        if (mode == 2) return Fse.read(bytes, from, MOST_LOG[kind], MOST_SYMBOLS[kind]);
        check(tables[kind] != null);
        return tables[kind];
    }

    /** Section 3.1.1.5: one of the last three offsets, or a new one. */
    private int offset(int value, int length) {
        int known = value > 3 ? 3 : value - (length > 0 ? 1 : 0);
        int found = value > 3 ? value - 3 : known < 3 ? offsets[known] : offsets[0] - 1;
        if (known > 1) offsets[2] = offsets[1];
        if (known > 0) offsets[1] = offsets[0];
        offsets[0] = found;
        return found;
    }

    private void copy(int offset, int count) {
        check(offset >= 1 && offset <= at && count <= made.length - at);
        for (int i = 0; i < count; i++, at++) made[at] = made[at - offset];
    }
}

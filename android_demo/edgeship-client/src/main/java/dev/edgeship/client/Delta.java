package dev.edgeship.client;

import static java.lang.Math.max;
import static java.lang.Math.min;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** Patches ESD1 (docs/updates/delta-format.md). Names are those of that page. */
final class Delta {
    static final int COPY = 0, LITERAL = 1, NUMBERS = 2;
    static final int F32 = 0, F16 = 1, I8 = 2, U8 = 3, I32 = 4, GRID = 5;
    static final int[] MANTISSA = {23, 10, 2, 2, 2, 2};
    static final int ZERO = 7, BUCKETS = 8, FLIPS = 68;
    private static final int[] WIDTH = {4, 2, 1, 1, 4, 4};
    private static final int[] SMALL = {0, 1, -1, 2, -2, 3, -3};

    private final ByteBuffer old;
    private final int size;
    private byte[] plain;
    private Bits stored;

    /** An operation, and where its result goes. */
    private static final class Operation {
        int kind, type, count, start, to;
        double factor;
        boolean signed;
    }

    private interface Visit {
        void visit(Operation found) throws PatchException;
    }

    private Delta(byte[] old, int size) {
        this.old = ByteBuffer.wrap(old).order(ByteOrder.LITTLE_ENDIAN);
        this.size = size;
    }

    /**
     * The new file. Beside both files and the description it takes 3 bytes for each number.
     *
     * @param limit bytes that the new file may have.
     * @throws PatchException the patch is broken, for another file, or makes a larger one.
     */
    static byte[] decode(byte[] old, byte[] patch, long limit) throws PatchException {
        Reader reader = new Reader(patch);
        if (!Arrays.equals(reader.take(4), Bytes.encode("ESD1"))) throw new PatchException("it is no patch");
        int kind = reader.take(1)[0];
        byte[] before = reader.take(4);
        byte[] after = reader.take(4);
        long size = reader.number();
        if (size > min(limit, Integer.MAX_VALUE - 8)) {
            throw new PatchException("the patch makes " + size + " bytes, " + limit + " are allowed");
        }
        if (!begins(old, before)) throw new PatchException("the patch was made for another file");
        if (kind != 0 && kind != 1) throw new PatchException("patches of kind " + kind + " are unknown");
        byte[] made;
        if (kind == 0) made = unpack(Unpack.Encoding.BROTLI, reader.rest(), (int) size);
        else made = new Delta(old, (int) size).patched(reader);
        if (begins(made, after)) return made;
        throw new PatchException("the patch is damaged: it does not make the file that it was made for");
    }

    private static boolean begins(byte[] file, byte[] digest) {
        return Bytes.sha256(file).startsWith(Bytes.hex(digest));
    }

    private static byte[] unpack(Unpack.Encoding encoding, byte[] packed, int size) throws PatchException {
        try {
            return Unpack.unpack(encoding, packed, size);
        } catch (RefusedException error) {
            throw new PatchException(error.getMessage(), error.remedy(), error);
        }
    }

    private byte[] patched(Reader reader) throws PatchException {
        long described = reader.number();
        byte[] packed = reader.take(reader.number());
        if (described > 2L * size + 4096) throw new PatchException("the patch describes more than the file that it makes");
        long words = reader.number();
        byte[] levels = reader.take(6);
        byte[] coded = reader.take(2 * words);
        stored = new Bits(reader.rest());
        plain = unpack(Unpack.Encoding.DEFLATE, packed, (int) described);
        // Operations are read anew each time: a hostile description would take much more memory as a list.
        int[] elements = {0};
        int literals = walk(found -> elements[0] += found.kind == NUMBERS ? found.count : 0);
        short[] features = new short[elements[0]];
        elements[0] = 0;
        walk(found -> {
            for (int i = 0; found.kind == NUMBERS && i < found.count; i++) {
                features[elements[0]++] = feature(predicted(found, i), found.type);
            }
        });
        byte[] symbols = features.length > 0 ? Coder.decoded(features, levels, coded) : new byte[0];
        return written(symbols, literals);
    }

    /** Goes through the operations; where the literals begin. */
    private int walk(Visit visit) throws PatchException {
        Reader reader = new Reader(plain);
        Operation found = new Operation();
        long at = 0;
        int left = size / 128 + 4096;
        for (long to = 0; to < size; ) {
            if (left-- == 0) throw new PatchException("the patch has more operations than a file of its size may have");
            int code = reader.take(1)[0] & 255;
            long count = reader.number();
            found.kind = code & 3;
            found.type = code >> 2 & 15;
            if (found.kind > NUMBERS || found.type > GRID || count == 0) throw new PatchException("the patch has an unknown operation");
            long zigzag = found.kind == LITERAL ? 0 : reader.number();
            long start = found.kind == LITERAL ? 0 : at + (zigzag >> 1 ^ -(zigzag & 1));
            found.factor = found.kind != LITERAL && (code & 64) != 0
                    ? ByteBuffer.wrap(reader.take(8)).order(ByteOrder.LITTLE_ENDIAN).getDouble() : 0;
            long bytes = found.kind == NUMBERS ? count * WIDTH[found.type] : count;
            at = found.kind == LITERAL ? at + count : start + bytes; // a literal mostly replaces as much
            boolean beyond = start < 0 || (found.kind != LITERAL && at > old.capacity());
            if (beyond || to + bytes > size || Double.isNaN(found.factor) || Double.isInfinite(found.factor)) {
                throw new PatchException("the patch reaches beyond the files");
            }
            found.count = (int) count;
            found.start = (int) start;
            found.to = (int) to;
            found.signed = code > 127;
            visit.visit(found);
            to += bytes;
        }
        return reader.at();
    }

    /** What a number of the new file is expected to be, as bits of its width. */
    private int predicted(Operation by, int i) {
        boolean exact = by.factor == 0 || by.type == GRID || by.type == U8;
        switch (WIDTH[by.type]) {
            case 2: return old.getShort(by.start + 2 * i) & 0xffff;
            case 1:
                int each = old.get(by.start + i);
                return (exact ? each : (int) max(-128, min(127, Math.floor(each * by.factor + 0.5)))) & 255;
            default:
                int bits = old.getInt(by.start + 4 * i);
                if (exact) return bits;
                if (by.type == F32) return Float.floatToRawIntBits((float) (Float.intBitsToFloat(bits) * by.factor));
                return (int) max(Integer.MIN_VALUE, min(Integer.MAX_VALUE, Math.floor(bits * by.factor + 0.5)));
        }
    }

    /** The class of a number and the exponent of its prediction. */
    private static short feature(int bits, int type) {
        return (short) (type << 9 | (type == F32 ? (bits & 0x7fffffff) >>> 22 : type == F16 ? (bits & 0x7fff) >>> 9 : 0));
    }

    private byte[] written(byte[] symbols, int literals) throws PatchException {
        ByteBuffer made = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        Reader reader = new Reader(Arrays.copyOfRange(plain, literals, plain.length));
        int[] element = {0};
        walk(found -> {
            made.position(found.to);
            if (found.kind == COPY) made.put(old.array(), found.start, found.count);
            else if (found.kind == LITERAL) made.put(reader.take(found.count));
            else {
                for (int i = 0; i < found.count; i++) {
                    int value = restored(predicted(found, i), symbols[element[0]++], found);
                    if (WIDTH[found.type] == 1) made.put((byte) value);
                    else if (WIDTH[found.type] == 2) made.putShort((short) value);
                    else made.putInt(value);
                }
            }
        });
        return made.array();
    }

    /** A number from its prediction p, its symbol and stored bits; only the lowest bits of its width count. */
    private int restored(int p, int symbol, Operation by) throws PatchException {
        int type = by.type;
        int sign = type == F16 ? 1 << 15 : 1 << 31;
        if (symbol == ZERO) return by.signed && stored.take(1) == 1 && type <= F16 ? sign : 0;
        boolean negative = symbol >= BUCKETS && stored.take(1) == 1;
        if (symbol >= FLIPS) {
            if (type > F16) throw new PatchException("the patch turns a sign where there is none");
            int octave = symbol - FLIPS;
            int mantissa = MANTISSA[type];
            int difference = (octave > 0 ? 1 << (mantissa - 3 + octave) : 0) + (int) stored.take(mantissa - 3 + max(octave, 1));
            int magnitude = (p & (sign - 1)) + (negative ? -difference : difference);
            return (magnitude & (sign - 1)) | (~p & sign);
        }
        int octave = 1 + (symbol - BUCKETS >> 1);
        long difference = symbol < BUCKETS ? SMALL[symbol] : ((2L + (symbol & 1)) << octave) + stored.take(octave);
        if (negative) difference = -difference;
        if (type == GRID) return Float.floatToRawIntBits((float) (Float.intBitsToFloat(p) + difference * by.factor));
        if (type > F16) return (int) (p + difference);
        // Floats as integers in the order of their values.
        int ordered = (int) (((p & sign) == 0 ? p : sign - 1 - p) + difference);
        if (type == F16) ordered = (short) ordered;
        return ordered < 0 ? sign - 1 - ordered : ordered;
    }
}

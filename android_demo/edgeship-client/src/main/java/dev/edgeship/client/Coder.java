package dev.edgeship.client;

import static java.lang.Math.max;
import static java.lang.Math.min;

import java.util.Arrays;

/** Symbols of a patch: an adaptive model, and an rANS coder of many lanes that advance together. */
final class Coder {
    private static final int SYMBOLS = 77, CONTEXTS = 64, ROWS = 6 * CONTEXTS, TOTAL = 1 << 14;
    /** Half octaves of each symbol but those of turned signs. */
    private static final int[] LEVEL = new int[SYMBOLS];

    static {
        System.arraycopy(new int[] {-2, 0, 0, 2, 2, 3, 3, 0}, 0, LEVEL, 0, Delta.BUCKETS);
        for (int s = Delta.BUCKETS; s < Delta.FLIPS; s++) LEVEL[s] = s - 4;
    }

    private final int[] counts = new int[ROWS * SYMBOLS];
    /** Where the range of each symbol begins, and behind them where the last ends. */
    private final char[] starts = new char[ROWS * (SYMBOLS + 1)];
    /** The symbol in whose range every 64th slot lies. */
    private final byte[] hints = new byte[ROWS * 256];
    private final boolean[] changed = new boolean[ROWS];

    private Coder() {
        Arrays.fill(changed, true);
        for (int at = 0; at < counts.length; at++) counts[at] = prior(at / SYMBOLS % CONTEXTS, at % SYMBOLS);
    }

    private static int prior(int context, int symbol) {
        int level = symbol == Delta.ZERO || symbol >= Delta.FLIPS ? 99 : LEVEL[symbol];
        int above = level - (context - 8);
        if (above <= 1) return max(1, 32 >> min(5, (1 - above) >> 1));
        return above == 2 ? 8 : above == 3 ? 2 : 1;
    }

    /**
     * Decodes the symbols of all elements.
     *
     * @param features of each element: its class times 512, and the exponent of its prediction.
     * @param levels where the expected size of differences begins, for each class.
     * @param coded words of 16 bits.
     */
    static byte[] decoded(short[] features, byte[] levels, byte[] coded) throws PatchException {
        int count = features.length;
        int lanes = 1 << max(0, min(9, 31 - Integer.numberOfLeadingZeros(count >> 10)));
        int steps = (int) (((long) count + lanes - 1) / lanes);
        if (coded.length < 4 * lanes) throw new PatchException("the patch is cut off");
        long[] states = new long[lanes];
        for (int lane = 0; lane < lanes; lane++) states[lane] = word(coded, 4 * lane) | (long) word(coded, 4 * lane + 2) << 16;
        int[] sizes = new int[6 * lanes];
        for (int at = 0; at < sizes.length; at++) sizes[at] = 16 * (levels[at % 6] & 255);
        Coder model = new Coder();
        byte[] symbols = new byte[count];
        int next = 0;
        int word = 4 * lanes;
        for (int step = 0; step < steps; step++) {
            if (step >= next) {
                next = step + min(32, max(1, step >> 3));
                model.update();
            }
            int lane = 0;
            for (long each = step; each < count; each += steps, lane++) {
                int type = features[(int) each] >> 9;
                int exponent = features[(int) each] & 511;
                int own = 6 * lane + type;
                int row = CONTEXTS * type + min(CONTEXTS - 1, max(0, (sizes[own] >> 4) - exponent + 8));
                int slot = (int) (states[lane] & (TOTAL - 1));
                int symbol = model.find(row, slot);
                int start = model.start(row, symbol);
                long state = (model.start(row, symbol + 1) - start) * (states[lane] >>> 14) + slot - start;
                if (state < 65536) {
                    if (word >= coded.length) throw new PatchException("the patch is cut off");
                    state = state << 16 | word(coded, word);
                    word += 2;
                }
                states[lane] = state;
                symbols[(int) each] = (byte) symbol;
                model.learn(row, symbol);
                int level = symbol < Delta.FLIPS ? LEVEL[symbol] : type <= Delta.F16 ? 2 * Delta.MANTISSA[type] : 0;
                if (symbol != Delta.ZERO) sizes[own] += (16 * (level + exponent) - sizes[own]) >> 3;
            }
        }
        return symbols;
    }

    private static int word(byte[] coded, int at) {
        return coded[at] & 255 | (coded[at + 1] & 255) << 8;
    }

    private int start(int row, int symbol) {
        return starts[row * (SYMBOLS + 1) + symbol];
    }

    private int find(int row, int slot) {
        int symbol = hints[row * 256 + (slot >> 6)];
        while (start(row, symbol + 1) <= slot) symbol++;
        return symbol;
    }

    /** Counts overflow nowhere: a file has fewer than 2^31 / 24 elements in one context, or the shares are refused. */
    private void learn(int row, int symbol) throws PatchException {
        int count = counts[row * SYMBOLS + symbol] += 24;
        if (count < 0) throw new PatchException("the patch has too many numbers");
        changed[row] = true;
    }

    private void update() {
        for (int row = 0; row < ROWS; row++) {
            if (changed[row]) divide(row);
            changed[row] = false;
        }
    }

    private void divide(int row) {
        int first = row * SYMBOLS;
        long total = 0;
        int most = 0;
        for (int s = 0; s < SYMBOLS; s++) {
            total += counts[first + s];
            if (counts[first + s] > counts[first + most]) most = s;
        }
        int[] shares = new int[SYMBOLS];
        int rest = TOTAL;
        for (int s = 0; s < SYMBOLS; s++) {
            shares[s] = 1 + (int) (counts[first + s] * (long) (TOTAL - SYMBOLS) / total);
            rest -= shares[s];
        }
        shares[most] += rest;
        int end = 0;
        for (int s = 0; s < SYMBOLS; s++) {
            Arrays.fill(hints, row * 256 + (end + 63 >> 6), row * 256 + (end + shares[s] + 63 >> 6), (byte) s);
            end += shares[s];
            starts[row * (SYMBOLS + 1) + s + 1] = (char) end;
        }
    }
}

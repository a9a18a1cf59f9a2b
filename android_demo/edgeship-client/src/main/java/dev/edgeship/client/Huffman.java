package dev.edgeship.client;

import java.util.Arrays;

/** Codes of literals (RFC 8878, section 4.2): for each value of {@code log} bits a symbol, and how many bits are its own. */
final class Huffman {
    private static final int MOST_LOG = 11;
    private static final int MOST_WEIGHTS = 255;

    private final int log;
    private final byte[] symbols;
    private final byte[] bits;

    private Huffman(int log, int[] weights) {
        this.log = log;
        symbols = new byte[1 << log];
        bits = new byte[1 << log];
        int at = 0;
        for (int weight = 1; weight <= log; weight++) {
            for (int symbol = 0; symbol < weights.length; symbol++) {
                if (weights[symbol] != weight) continue;
                int end = at + (1 << weight - 1);
                Arrays.fill(symbols, at, end, (byte) symbol);
                Arrays.fill(bits, at, end, (byte) (log + 1 - weight));
                at = end;
            }
        }
    }

    /** Reads a description; {@code used}: how many bytes it took. */
    static Huffman read(byte[] bytes, int[] used) {
        Zstd.check(bytes.length > 0);
        int first = bytes[0] & 255;
        used[0] = 1 + (first < 128 ? first : first - 126 >> 1);
        Zstd.check(used[0] <= bytes.length);
        byte[] given = Arrays.copyOfRange(bytes, 1, used[0]);
        int[] weights = first < 128 ? compressed(given) : new int[first - 127];
        for (int i = 0; first >= 128 && i < weights.length; i++) weights[i] = given[i >> 1] >> (i % 2 == 0 ? 4 : 0) & 15;
        Zstd.check(weights.length <= MOST_WEIGHTS);
        int sum = 0;
        for (int weight : weights) {
            Zstd.check(weight <= MOST_LOG);
            sum += weight > 0 ? 1 << weight - 1 : 0;
        }
        Zstd.check(sum > 0);
        int log = Zstd.highBit(sum) + 1;
        int rest = (1 << log) - sum;
        // The last weight is not written: it makes the sum a power of two.
        Zstd.check(log <= MOST_LOG && (rest & rest - 1) == 0);
        int[] all = Arrays.copyOf(weights, weights.length + 1);
        all[weights.length] = Zstd.highBit(rest) + 1;
        return new Huffman(log, all);
    }

    private static int[] compressed(byte[] bytes) {
        int[] used = {0};
        Fse table = Fse.read(bytes, used, 6, 12);
        Backward from = new Backward(Arrays.copyOfRange(bytes, used[0], bytes.length));
        int[] states = {from.read(table.log), from.read(table.log)};
        int[] weights = new int[MOST_WEIGHTS + 1];
        int count = 0;
        for (int turn = 0; ; turn ^= 1) {
            Zstd.check(count < MOST_WEIGHTS);
            weights[count++] = table.symbols[states[turn]];
            if (from.left() < table.width(states[turn])) {
                weights[count++] = table.symbols[states[turn ^ 1]];
                return Arrays.copyOf(weights, count);
            }
            states[turn] = table.next(states[turn], from);
        }
    }

    /** Fills {@code into} from one place to another. */
    void decode(byte[] stream, byte[] into, int start, int end) {
        Backward from = new Backward(stream);
        for (int at = start; at < end; at++) {
            int code = from.peek(log);
            into[at] = symbols[code];
            from.skip(bits[code]);
        }
        Zstd.check(from.left() == 0);
    }
}

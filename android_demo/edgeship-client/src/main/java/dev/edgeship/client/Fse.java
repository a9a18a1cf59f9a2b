package dev.edgeship.client;

import java.util.ArrayList;
import java.util.List;

/** A table of finite state entropy (RFC 8878, section 4.1): for each state its symbol, bits to read, and their base. */
final class Fse {
    final int log;
    final int[] symbols;
    private final int[] bits;
    private final int[] bases;

    /** @param shares of the symbols; -1: less than one. */
    Fse(int log, int[] shares) {
        this.log = log;
        int size = 1 << log;
        symbols = new int[size];
        bits = new int[size];
        bases = new int[size];
        int[] next = new int[shares.length];
        int high = size;
        for (int symbol = 0; symbol < shares.length; symbol++) {
            next[symbol] = Math.abs(shares[symbol]);
            if (shares[symbol] < 0) symbols[--high] = symbol;
        }
        int at = 0;
        for (int symbol = 0; symbol < shares.length; symbol++) {
            for (int i = 0; i < shares[symbol]; i++) {
                symbols[at] = symbol;
                do at = at + (size >> 1) + (size >> 3) + 3 & size - 1;
                while (at >= high);
            }
        }
        Zstd.check(at == 0);
        for (int state = 0; state < size; state++) {
            int value = next[symbols[state]]++;
            bits[state] = log - Zstd.highBit(value);
            bases[state] = (value << bits[state]) - size;
        }
    }

    private Fse(int symbol) {
        log = 0;
        symbols = new int[] {symbol};
        bits = new int[1];
        bases = new int[1];
    }

    /** That of one symbol, which takes no bits. */
    static Fse only(byte symbol) {
        return new Fse(symbol & 255);
    }

    /** Reads shares as they are written (section 4.1.1); moves {@code from} behind them. */
    static Fse read(byte[] bytes, int[] from, int mostLog, int mostSymbols) {
        Zstd.check(from[0] < bytes.length);
        int log = (bytes[from[0]] & 15) + 5;
        long at = 8L * from[0] + 4;
        Zstd.check(log <= mostLog);
        List<Integer> shares = new ArrayList<>();
        for (int rest = 1 << log; rest > 0; ) {
            int width = Zstd.highBit(rest + 1) + 1;
            int low = (1 << width - 1) - 1;
            int shorter = (1 << width) - 2 - rest;
            int value = peek(bytes, at, width);
            at += width;
            if ((value & low) < shorter) {
                value &= low;
                at--;
            } else if (value > low) {
                value -= shorter;
            }
            shares.add(value - 1);
            rest -= Math.abs(value - 1);
            for (int more = value == 1 ? 3 : 0; more == 3; ) {
                more = peek(bytes, at, 2);
                at += 2;
                for (int i = 0; i < more; i++) shares.add(0);
                Zstd.check(shares.size() <= mostSymbols);
            }
            Zstd.check(rest >= 0 && shares.size() <= mostSymbols && at <= 8L * bytes.length);
        }
        from[0] = (int) (at + 7 >> 3);
        return new Fse(log, shares.stream().mapToInt(each -> each).toArray());
    }

    private static int peek(byte[] bytes, long at, int count) {
        return Zstd.number(bytes, (int) (at >> 3), 3) >>> (at & 7) & (1 << count) - 1;
    }

    /** Bits that a state takes to the next. */
    int width(int state) {
        return bits[state];
    }

    int next(int state, Backward from) {
        return bases[state] + from.read(bits[state]);
    }
}

package dev.edgeship.client;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;
import org.brotli.dec.BrotliInputStream;

/** Compressed forms that a repository has: raw deflate in patches, brotli and zstd for files. */
final class Unpack {
    enum Encoding { DEFLATE, BROTLI, ZSTD }

    private Unpack() {}

    /**
     * Decodes, and never takes more memory than was announced.
     *
     * @param size bytes of the result.
     * @throws RefusedException where the content is broken, shorter or longer.
     */
    static byte[] unpack(Encoding encoding, byte[] packed, int size) throws RefusedException {
        try {
            byte[] made = new byte[size];
            int count;
            if (encoding == Encoding.DEFLATE) count = inflate(packed, made);
            else if (encoding == Encoding.BROTLI) count = brotli(packed, made);
            else count = Zstd.decode(packed, made);
            if (count == size) return made;
        } catch (IOException | DataFormatException | RuntimeException error) { // what decoders throw at broken content
            throw new RefusedException("it is no " + encoding + " of " + size + " bytes", "", error);
        }
        throw new RefusedException("it is no " + encoding + " of " + size + " bytes: it has fewer or more");
    }

    private static int inflate(byte[] packed, byte[] made) throws DataFormatException {
        Inflater inflater = new Inflater(true);
        try {
            // Without a header it wants one byte more than there is.
            inflater.setInput(Arrays.copyOf(packed, packed.length + 1));
            int at = 0;
            while (!inflater.finished()) {
                boolean full = at == made.length;
                byte[] to = full ? new byte[1] : made;
                int count = inflater.inflate(to, full ? 0 : at, full ? 1 : made.length - at);
                if (full && count > 0) return -1;
                if (count == 0 && !inflater.finished()) return -1;
                at += count;
            }
            return at;
        } finally {
            inflater.end();
        }
    }

    private static int brotli(byte[] packed, byte[] made) throws IOException {
        try (InputStream from = new BrotliInputStream(new ByteArrayInputStream(packed))) {
            int at = 0;
            while (at < made.length) {
                int count = from.read(made, at, made.length - at);
                if (count < 0) return at;
                at += count;
            }
            return from.read() < 0 ? at : -1;
        }
    }
}

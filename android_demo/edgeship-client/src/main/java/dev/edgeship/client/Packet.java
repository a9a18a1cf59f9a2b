package dev.edgeship.client;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * A repository in a zip file, which {@code edgeship sideload} packs: the same files under the same names as on a server.
 * Entries are looked up by name, so that no name in it becomes that of a file here.
 */
final class Packet extends Source implements Closeable {
    private static final int CHUNK = 1 << 16;

    private final ZipFile zip;

    /**
     * @param file that may be anything.
     * @throws RefusedException where it is no zip file.
     */
    Packet(File file, Limits limits) throws RefusedException {
        super(file.getName(), limits);
        zip = opened(file);
    }

    /** A zip file that may be anything. */
    static ZipFile opened(File file) throws RefusedException {
        try {
            return new ZipFile(file);
        } catch (IOException | RuntimeException error) { // some platforms throw others at strange names
            throw new RefusedException(file.getName() + " is no file of edgeship sideload", "Pack and send it again.", error);
        }
    }

    @Override
    byte[] metadata(String name, long most) throws UpdateException {
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        int status = get(new Wish(address + "/metadata/" + name, most, 0, 0), (bytes, count, at) -> made.write(bytes, 0, count));
        return status == 404 ? null : made.toByteArray();
    }

    @Override
    int get(Wish wish, Sink sink) throws UpdateException {
        ZipEntry entry = zip.getEntry(wish.url.substring(address.length() + 1));
        if (entry == null || entry.isDirectory()) return 404;
        byte[] piece = new byte[CHUNK];
        long at = 0;
        try (InputStream from = zip.getInputStream(entry)) {
            for (int count = from.read(piece); count >= 0; count = from.read(piece)) {
                if (isEnded()) throw new UnavailableException("the update was ended", "", null, true);
                if (at + count > wish.most) {
                    throw new RefusedException(wish.url + " has more than the " + wish.most + " bytes that it may");
                }
                // What came before an update was cut is here already; it is told again, and the same.
                sink.piece(piece, count, at);
                at += count;
            }
            return 200;
        } catch (IOException | RuntimeException error) { // what readers of zip files throw at broken content
            throw new RefusedException(wish.url + " is damaged", "Pack and send it again.", error);
        }
    }

    @Override
    public void close() {
        try {
            zip.close();
        } catch (IOException error) {
            // It was only read.
        }
    }
}

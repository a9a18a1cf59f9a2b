package dev.edgeship.client;

import dev.edgeship.client.Metadata.Target;
import java.io.File;
import java.util.function.LongConsumer;

/** Files by their SHA-256: begun again where they stopped, believed only once they are whole. */
final class Download {
    /** Of one file in one check, as long as each of them gets further. */
    private static final int MOST_ATTEMPTS = 5;

    private final Source source;
    private final Store store;
    private final Target file;
    private final LongConsumer more;
    private final String url;
    private final String part;
    /** Bytes that are here. */
    private long at;

    private Download(Source source, Store store, Target file, LongConsumer more) {
        this.source = source;
        this.store = store;
        this.file = file;
        this.more = more;
        url = source.address + "/targets/" + Paths.stored(file);
        part = file.sha256 + ".part";
    }

    /**
     * Fetches a file as it was signed into the store, under its SHA-256. What came of it before is gone on with, and kept
     * if it does not end.
     *
     * @param more is told of bytes that came.
     * @throws UnavailableException it cannot be had now.
     * @throws RefusedException what is served is another file.
     */
    static File download(Source source, Store store, Target file, LongConsumer more) throws UpdateException {
        return new Download(source, store, file, more).run();
    }

    private File run() throws UpdateException {
        long before = store.file(part).length();
        if (before > file.length) store.delete(part);
        else moved(before);
        for (int attempt = 1; ; attempt++) {
            long start = at;
            try {
                ask(start);
                if (at < file.length) throw new UnavailableException(url + " ended after " + at + " of " + file.length + " bytes");
            } catch (RefusedException error) {
                store.delete(part);
                throw error;
            } catch (UnavailableException error) {
                if (error.late || at <= start || attempt >= MOST_ATTEMPTS) throw error;
                continue; // a connection that was cut is taken up again
            }
            if (Bytes.isFile(store.file(part), file.sha256, file.length)) break;
            store.delete(part);
            // What was there and what came do not go together: once more, from the beginning.
            if (start == 0) throw new RefusedException(url + " is not the file that was signed");
            moved(0);
        }
        store.accept(part, file.sha256);
        return store.file(file.sha256);
    }

    private void ask(long start) throws UpdateException {
        try (Store.Part to = store.part(part)) {
            if (start == file.length) return;
            int status = get(to, start);
            if (status == 416 && start > 0) status = get(to, 0);
            if (status >= 400) throw new UnavailableException(url + " answers " + status);
        }
    }

    private int get(Store.Part to, long start) throws UpdateException {
        double seconds = source.limits.seconds + (file.length - start) / (double) source.limits.bytesPerSecond;
        return source.get(new Source.Wish(url, file.length, seconds, start), (bytes, count, from) -> {
            to.write(from, bytes, count);
            moved(from + count);
        });
    }

    private void moved(long to) {
        more.accept(to - at);
        at = to;
    }
}

package dev.edgeship.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.MalformedURLException;
import java.net.SocketTimeoutException;
import java.net.URL;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * GET and nothing else: bounded in time and bytes, whatever a server or a network in between does.
 *
 * <p>A watchdog ends a connection at its deadline. A platform whose connections cannot be ended by another thread while
 * the content is read waits for one more piece, which may take 30 seconds at most. Only looking up a name is left
 * to the system's own time limit.
 */
final class Http extends Source {
    private static final int MOST_REDIRECTS = 4;
    private static final int LONGEST_PAUSE_MS = 30_000;
    private static final int CHUNK = 1 << 16;

    private volatile HttpURLConnection current;

    /** @param address of the repository, without a slash at its end. */
    Http(String address, Limits limits) {
        super(address, limits);
    }

    @Override
    void end() {
        super.end();
        HttpURLConnection found = current;
        if (found != null) inBackground("edgeship-end", found::disconnect);
    }

    /** Metadata; null where there are none of this name (403, 404). */
    @Override
    byte[] metadata(String name, long most) throws UpdateException {
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        String url = address + "/metadata/" + name;
        int status = get(new Wish(url, most, limits.seconds, 0), (bytes, count, start) -> made.write(bytes, 0, count));
        if (status == 403 || status == 404) return null;
        if (status >= 400) throw new UnavailableException(url + " answers " + status);
        if (isPage(made.toByteArray())) throw page(url);
        return made.toByteArray();
    }

    /**
     * Asks for a file.
     *
     * @return the status; from 400 on nothing was read. 416 also where an answer begins at another byte than was asked for.
     * @throws UnavailableException where no answer comes, it is too slow, breaks off, or is a page for people.
     * @throws RefusedException where more comes than may.
     */
    @Override
    int get(Wish wish, Sink sink) throws UpdateException {
        long deadline = System.nanoTime() + (long) (wish.seconds * 1e9);
        AtomicBoolean over = new AtomicBoolean();
        Thread watchdog = watchdog(deadline, over);
        try {
            HttpURLConnection answer = open(wish, deadline);
            int status = answer.getResponseCode();
            if (status < 0) throw new IOException("no answer of HTTP");
            checkPage(wish.url, status, answer.getContentType());
            if (status == 206 && !begins(answer.getHeaderField("Content-Range"), wish.start)) return 416;
            if (status < 400) read(wish, answer, deadline, sink, status == 206 ? wish.start : 0);
            return status;
        } catch (IOException | RuntimeException error) { // some platforms' connections fail with both
            if (isEnded()) throw new UnavailableException("the update was ended", "", error, true);
            boolean late = over.get() || System.nanoTime() >= deadline || error instanceof SocketTimeoutException;
            if (late) throw slow(wish.url, error);
            String said = wish.url + " cannot be fetched: " + error;
            throw new UnavailableException(said, "Is the network up, and the address right?", error, false);
        } finally {
            over.set(true);
            watchdog.interrupt();
            HttpURLConnection last = current;
            current = null;
            if (last != null) last.disconnect();
        }
    }

    /** Ends what is under way once its time is up, unless it is over; then it is. */
    private Thread watchdog(long deadline, AtomicBoolean over) {
        return inBackground("edgeship-deadline", () -> {
            try {
                Thread.sleep(Math.max(0, (deadline - System.nanoTime()) / 1_000_000));
            } catch (InterruptedException error) {
                return; // it ended in time
            }
            HttpURLConnection found = current;
            if (over.compareAndSet(false, true) && found != null) found.disconnect();
        });
    }

    private static Thread inBackground(String name, Runnable work) {
        Thread made = new Thread(work, name);
        made.setDaemon(true);
        made.start();
        return made;
    }

    /** The last of a few redirects. */
    private HttpURLConnection open(Wish wish, long deadline) throws IOException, UpdateException {
        URL url = new URL(wish.url);
        for (int redirects = 0; redirects <= MOST_REDIRECTS; redirects++) {
            checkTime(wish.url, deadline);
            HttpURLConnection made = (HttpURLConnection) url.openConnection();
            current = made;
            made.setInstanceFollowRedirects(false);
            made.setUseCaches(false);
            made.setConnectTimeout(patience(deadline));
            made.setReadTimeout(patience(deadline));
            made.setRequestProperty("Accept-Encoding", "identity");
            made.setRequestProperty("User-Agent", "edgeship");
            if (wish.start > 0) made.setRequestProperty("Range", "bytes=" + wish.start + "-");
            int status = made.getResponseCode();
            String location = made.getHeaderField("Location");
            boolean leadsOn = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
            if (!leadsOn || location == null) return made;
            made.disconnect();
            url = redirected(url, location);
        }
        throw new UnavailableException(wish.url + " leads on and on");
    }

    /** Where a redirect leads, if that is as safe and in the web. */
    private static URL redirected(URL from, String location) throws UnavailableException {
        try {
            URL found = new URL(from, location);
            boolean secure = found.getProtocol().equals("https");
            if (secure || (found.getProtocol().equals("http") && from.getProtocol().equals("http"))) return found;
        } catch (MalformedURLException error) {
            // said below
        }
        String to = location.substring(0, Math.min(location.length(), 200));
        throw new UnavailableException(from + " leads to " + to, "Only https leads on from https.");
    }

    private void read(Wish wish, HttpURLConnection answer, long deadline, Sink sink, long start)
            throws IOException, UpdateException {
        byte[] piece = new byte[CHUNK];
        long at = start;
        try (InputStream content = answer.getInputStream()) {
            while (true) {
                int count = content.read(piece);
                checkTime(wish.url, deadline);
                if (count < 0) return;
                if (at + count > wish.most) {
                    throw new RefusedException(wish.url + " has more than the " + wish.most + " bytes that it may");
                }
                sink.piece(piece, count, at);
                at += count;
            }
        }
    }

    private void checkTime(String url, long deadline) throws UpdateException {
        if (isEnded()) {
            throw new UnavailableException("the update was ended", "", null, true);
        }
        if (System.nanoTime() >= deadline) throw slow(url, null);
    }

    private int patience(long deadline) {
        long left = (deadline - System.nanoTime()) / 1_000_000;
        return (int) Math.max(1, Math.min(left, LONGEST_PAUSE_MS));
    }

    /** Networks that want a person to log in answer with a page of theirs, as if it were the file. */
    private static void checkPage(String url, int status, String type) throws UnavailableException {
        String kind = type == null ? "" : type.split(";", 2)[0].trim().toLowerCase(Locale.ROOT);
        boolean isPage = kind.equals("text/html") || kind.equals("application/xhtml+xml");
        if (status == 511 || (status < 400 && isPage)) throw page(url);
    }

    /** No metadata begins with markup, whatever its type is said to be. */
    private static boolean isPage(byte[] bytes) {
        int at = 0;
        while (at < bytes.length && bytes[at] <= ' ' && bytes[at] >= 0) at++;
        return at < bytes.length && bytes[at] == '<';
    }

    private static boolean begins(String range, long start) {
        return range != null && range.startsWith("bytes " + start + "-");
    }

    private static UnavailableException page(String url) {
        String remedy = "Does the network want a login first? Is the address right?";
        return new UnavailableException(url + " answers with a web page", remedy);
    }

    private static UnavailableException slow(String url, Throwable cause) {
        String remedy = "It goes on from there at the next check.";
        return new UnavailableException(url + " answers too slowly", remedy, cause, true);
    }
}

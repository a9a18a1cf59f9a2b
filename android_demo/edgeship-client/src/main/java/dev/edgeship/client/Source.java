package dev.edgeship.client;

/** Where a repository is read from: a server, or a file that was brought here. What it says is believed in neither case. */
abstract class Source {
    /** Takes pieces of an answer; {@code start} is the place of the piece in the file. */
    interface Sink {
        void piece(byte[] bytes, int count, long start) throws UpdateException;
    }

    /** What is asked for. */
    static final class Wish {
        final String url;
        /** Bytes that may come; more are refused. */
        final long most;
        final double seconds;
        /** First byte that is wanted. */
        final long start;

        Wish(String url, long most, double seconds, long start) {
            this.url = url;
            this.most = most;
            this.seconds = seconds;
            this.start = start;
        }
    }

    final String address;
    final Limits limits;
    private volatile boolean ended;

    /** @param address of the repository, without a slash at its end. */
    Source(String address, Limits limits) {
        this.address = address;
        this.limits = limits;
    }

    /** Ends what is under way and all that would come; for another thread. */
    void end() {
        ended = true;
    }

    boolean isEnded() {
        return ended || Thread.currentThread().isInterrupted();
    }

    /** Metadata; null where there are none of this name. */
    abstract byte[] metadata(String name, long most) throws UpdateException;

    /**
     * Asks for a file.
     *
     * @return the status, as HTTP has it; from 400 on nothing was read. 416 also where an answer begins at another byte than
     *     was asked for.
     * @throws UnavailableException where no answer comes, it is too slow, or breaks off.
     * @throws RefusedException where more comes than may.
     */
    abstract int get(Wish wish, Sink sink) throws UpdateException;
}

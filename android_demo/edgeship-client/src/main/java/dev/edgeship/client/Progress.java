package dev.edgeship.client;

/** Is told how far an update is, on the thread that updates. */
public interface Progress {
    /** What is done just now. */
    enum Phase { CHECK, DOWNLOAD, TEST, DONE }

    /**
     * @param phase see {@link Phase}.
     * @param loaded bytes that came over the network; 0 but in a download.
     * @param total bytes that are planned; a patch that fails makes it larger.
     */
    void at(Phase phase, long loaded, long total);
}

package dev.edgeship.client;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * The folder of one client: {@code state/} (metadata and the state), {@code files/} (files by their SHA-256, and a copy of
 * the state), {@code starts/} (see {@link Probation}).
 */
final class Place {
    /** End of the names of locks. */
    static final String LOCK = ".lock";
    private static final String NAME = "state";

    final File folder;
    final Store state;
    final Store files;
    private final String line;

    Place(File folder, String line) {
        this.folder = folder;
        this.line = line;
        state = new Store(new File(folder, "state"));
        files = new Store(new File(folder, "files"));
    }

    /** The state; where it was lost or damaged, its copy; where that was too, nothing but a new install id. */
    State read() {
        for (Store store : new Store[] {state, files}) {
            byte[] bytes = store.get(NAME);
            try {
                State found = bytes == null ? null : State.read(bytes);
                if (found != null && found.line.equals(line)) return found;
            } catch (RefusedException error) {
                // damaged, or written by another version of this client
            }
        }
        return new State(line);
    }

    /** Makes one change to the state as it is at that moment; the state after it. */
    State change(State.Change change) throws UpdateException {
        try (Lock lock = lock("state", true)) {
            State before = read();
            State after = before.with(change);
            byte[] written = after.written();
            for (Store store : new Store[] {state, files}) {
                // Written only where it is new, for the sake of flash memory.
                if (!Arrays.equals(store.get(NAME), written)) store.put(NAME, written);
            }
            return after;
        }
    }

    /**
     * Keeps others out, of this process and of others; ends with the process, however that ends.
     *
     * @param wait for who holds it; it does so for moments only.
     * @throws UnavailableException somebody else holds it, and it is not waited.
     */
    Lock lock(String name, boolean wait) throws UpdateException {
        File file = new File(folder, name + LOCK);
        try {
            Files.createDirectories(file.getParentFile().toPath());
            return new Lock(file.getCanonicalPath(), wait);
        } catch (IOException error) {
            throw files.failed(file.getName(), error);
        }
    }

    /** See {@link #lock}. Java's locks are of a process: threads are kept out by a set of names. */
    static final class Lock implements AutoCloseable {
        private static final Set<String> BUSY = new HashSet<>();
        private final String name;
        private final FileChannel channel;

        private Lock(String name, boolean wait) throws IOException, UnavailableException {
            this.name = name;
            take(name, wait);
            FileChannel opened = null;
            boolean held = false;
            try {
                opened = FileChannel.open(new File(name).toPath(), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                held = (wait ? opened.lock() : opened.tryLock()) != null;
            } catch (OverlappingFileLockException error) {
                // this process holds it through another class loader
            } finally {
                if (!held && opened != null) opened.close();
                if (!held) give(name);
            }
            if (!held) throw other();
            channel = opened;
        }

        private static void take(String name, boolean wait) throws UnavailableException {
            synchronized (BUSY) {
                while (!BUSY.add(name)) {
                    if (!wait) throw other();
                    try {
                        BUSY.wait();
                    } catch (InterruptedException error) {
                        Thread.currentThread().interrupt();
                        throw new UnavailableException("the update was ended", "");
                    }
                }
            }
        }

        private static void give(String name) {
            synchronized (BUSY) {
                BUSY.remove(name);
                BUSY.notifyAll();
            }
        }

        private static UnavailableException other() {
            return new UnavailableException("another update is running", "Wait for it to end.");
        }

        /** Puts bytes into its file, in place of as many at its beginning. */
        void write(byte[] bytes) throws IOException {
            channel.write(ByteBuffer.wrap(bytes), 0);
            channel.force(false);
        }

        /** Removes its file; it is held until it is closed. */
        void delete() {
            new File(name).delete(); // one that stays counts as a process that died
        }

        @Override
        public void close() {
            try {
                channel.close();
            } catch (IOException error) {
                // it ends with the process
            } finally {
                give(name);
            }
        }
    }
}

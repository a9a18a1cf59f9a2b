package dev.edgeship.client;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/** Files under names in one folder; each is there whole or not at all, after a power cut too. All of it may be lost. */
final class Store {
    /** Left free for whoever else writes on the disk. */
    private static final long SPARE_BYTES = 4 << 20;

    final File folder;

    Store(File folder) {
        this.folder = folder;
    }

    /** Where a file lies, or would. */
    File file(String name) {
        return new File(folder, name);
    }

    /** Its content; null where it is lost or cannot be read. */
    byte[] get(String name) {
        try {
            return Files.readAllBytes(file(name).toPath());
        } catch (IOException error) {
            return null;
        }
    }

    /** Writes a file that after a power cut has the old content or the new one. */
    void put(String name, byte[] bytes) throws StorageException {
        // One name, so that what a cut leaves behind is overwritten; whoever writes holds a lock.
        File made = file("." + name + ".new");
        try {
            Files.createDirectories(folder.toPath());
            try (FileOutputStream to = new FileOutputStream(made)) {
                to.write(bytes);
                to.getFD().sync();
            }
            move(made, file(name));
        } catch (IOException error) {
            throw failed(name, error);
        }
    }

    void delete(String name) throws StorageException {
        try {
            Files.deleteIfExists(file(name).toPath());
        } catch (IOException error) {
            throw failed(name, error);
        }
    }

    /** Gives a file that is complete and on the disk its name. */
    void accept(String part, String name) throws StorageException {
        try {
            move(file(part), file(name));
        } catch (IOException error) {
            throw failed(name, error);
        }
    }

    private void move(File from, File to) throws IOException {
        Files.move(from.toPath(), to.toPath(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        try (FileChannel names = FileChannel.open(folder.toPath(), StandardOpenOption.READ)) {
            names.force(true);
        } catch (IOException error) {
            // A system that cannot do this for folders does it by itself.
        }
    }

    /** Names of all files but those that are being written. */
    List<String> names() {
        List<String> found = new ArrayList<>();
        String[] all = folder.list();
        if (all != null) for (String name : all) if (!name.startsWith(".")) found.add(name);
        return found;
    }

    /** Looks for space before anything is fetched. */
    void checkSpace(long bytes) throws StorageException {
        try {
            Files.createDirectories(folder.toPath());
        } catch (IOException error) {
            throw failed("", error);
        }
        long free = folder.getUsableSpace();
        if (bytes > 0 && free < bytes + SPARE_BYTES) {
            throw new StorageException("an update needs " + (bytes + SPARE_BYTES) + " bytes, " + free + " are free");
        }
    }

    /** A file that comes piece by piece; what came stays when this ends. */
    Part part(String name) throws StorageException {
        try {
            Files.createDirectories(folder.toPath());
            return new Part(file(name));
        } catch (IOException error) {
            throw failed(name, error);
        }
    }

    StorageException failed(String name, IOException cause) {
        return new StorageException("cannot write " + file(name) + ": " + cause.getMessage(), REMEDY, cause);
    }

    private static final String REMEDY = "Free some space, or let this application write there; the model goes on.";

    /** See {@link #part}. */
    final class Part implements AutoCloseable {
        private final File file;
        private final RandomAccessFile to;

        private Part(File file) throws IOException {
            this.file = file;
            to = new RandomAccessFile(file, "rw");
        }

        /** What is behind these bytes is dropped. */
        void write(long start, byte[] bytes, int count) throws StorageException {
            try {
                if (to.length() != start) to.setLength(start);
                to.seek(start);
                to.write(bytes, 0, count);
            } catch (IOException error) {
                throw failed(file.getName(), error);
            }
        }

        /** Brings all of it to the disk. */
        @Override
        public void close() throws StorageException {
            try (RandomAccessFile last = to) {
                last.getFD().sync();
            } catch (IOException error) {
                throw failed(file.getName(), error);
            }
        }
    }
}

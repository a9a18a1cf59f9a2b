package dev.edgeship.client;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * A bundle that nobody signed, for developers: whoever can bring a file here chooses what runs. An application that people
 * use must not offer it; on Android it asks {@code ApplicationInfo.FLAG_DEBUGGABLE} first. It lies in a folder of its own,
 * and no update touches it.
 */
public final class Unsigned {
    private static final String STATE = "state";
    private static final Version NONE = new Version(0, 0, 0);

    private final Store files;
    private final Runner runner;
    private final Limits limits;

    /**
     * @param folder of this alone; made where it is missing.
     * @param runner what runs models here.
     * @param limits of which those of releases and of self-tests hold.
     */
    public Unsigned(File folder, Runner runner, Limits limits) {
        files = new Store(folder);
        this.runner = runner;
        this.limits = limits;
    }

    /**
     * Takes a bundle of {@code edgeship bundle --for device} in place of the one that is here. Its files are held to its
     * manifest, and its golden samples are tried; a bundle that fails leaves none here.
     *
     * @param bundle a zip file of the bundle's folder.
     * @throws RefusedException it is no bundle, damaged, or fails its self-test.
     * @throws StorageException the folder cannot be written.
     */
    public Release take(File bundle) throws UpdateException {
        clear();
        boolean kept = false;
        try (ZipFile zip = Packet.opened(bundle)) {
            byte[] bytes = content(zip, "manifest.json", Manifest.LIMIT_BYTES);
            Manifest manifest = Manifest.read(bytes, "manifest.json");
            if (!manifest.kind().equals("device")) throw new RefusedException("it is no bundle for devices");
            if (manifest.bytes() > limits.releaseBytes) {
                throw new RefusedException("it takes " + manifest.bytes() + " bytes, " + limits.releaseBytes + " are allowed here");
            }
            for (Manifest.Item item : manifest.files()) files.put(item.sha256, plain(zip, item));
            String digest = Bytes.sha256(bytes);
            files.put(digest, bytes);
            Release made = release(manifest, digest, bytes.length, true);
            new SelfTest(runner, limits).check(made, null);
            files.put(STATE, Bytes.encode(digest));
            kept = true;
            return made;
        } catch (IOException error) {
            throw new RefusedException(bundle.getName() + " is damaged", "", error);
        } finally {
            if (!kept) clear();
        }
    }

    /** The bundle that was taken, each file as its manifest names it; null: there is none. */
    public Release active() {
        byte[] digest = files.get(STATE);
        if (digest == null || digest.length != 64 || Bytes.unhex(new String(digest, StandardCharsets.US_ASCII)) == null) {
            return null;
        }
        String name = new String(digest, StandardCharsets.US_ASCII);
        byte[] bytes = files.get(name);
        if (bytes == null || !Bytes.isFile(bytes, name, bytes.length)) return null;
        try {
            return release(Manifest.read(bytes, "manifest.json"), name, bytes.length, false);
        } catch (RefusedException error) {
            return null;
        }
    }

    /** Drops what is here. */
    public void clear() throws UpdateException {
        files.delete(STATE);
        for (String name : files.names()) files.delete(name);
    }

    private Release release(Manifest manifest, String digest, long length, boolean golden) throws RefusedException {
        String version = manifest.version();
        Version of = version == null ? NONE : Version.read(new Node(version, "version"));
        Release found = Installed.load(files, new Held(of, manifest.variant(), digest, length), golden);
        if (found == null) throw new RefusedException("files of the bundle are damaged");
        return found;
    }

    private static byte[] plain(ZipFile zip, Manifest.Item item) throws UpdateException {
        Manifest.Item wire = item.wire();
        byte[] found = content(zip, wire.name, wire.bytes);
        if (!Bytes.isFile(found, wire.sha256, wire.bytes)) throw new RefusedException(wire.name + " is not what its manifest names");
        if (item.stored == null) return found;
        Unpack.Encoding encoding = item.stored.encoding.equals("br") ? Unpack.Encoding.BROTLI : Unpack.Encoding.ZSTD;
        byte[] made = Unpack.unpack(encoding, found, (int) Math.min(item.bytes, Integer.MAX_VALUE - 8));
        if (!Bytes.isFile(made, item.sha256, item.bytes)) throw new RefusedException(item.name + " is not what its manifest names");
        return made;
    }

    private static byte[] content(ZipFile zip, String name, long most) throws RefusedException {
        ZipEntry entry = zip.getEntry(name);
        if (entry == null) throw new RefusedException("it has no " + name, "Send a bundle: edgeship bundle ... --for device.");
        ByteArrayOutputStream made = new ByteArrayOutputStream();
        byte[] piece = new byte[1 << 16];
        try (InputStream from = zip.getInputStream(entry)) {
            for (int count = from.read(piece); count >= 0; count = from.read(piece)) {
                if (made.size() + count > most) throw new RefusedException(name + " has more than " + most + " bytes");
                made.write(piece, 0, count);
            }
            return made.toByteArray();
        } catch (IOException | RuntimeException error) { // what readers of zip files throw at broken content
            throw new RefusedException(name + " is damaged", "", error);
        }
    }
}

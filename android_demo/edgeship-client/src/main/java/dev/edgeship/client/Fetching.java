package dev.edgeship.client;

import dev.edgeship.client.Metadata.Target;
import java.io.File;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;

/** Gets files of one repository into a store, where each lies under its SHA-256; all are held to what was signed. */
final class Fetching {
    private final Line line;
    private final Source source;
    private final Store files;
    private final Repository repository;
    private final Progress progress;
    private long loaded;
    private long total;

    /** A release that is offered: its manifest, as the repository signed it. */
    static final class Candidate {
        final Version version;
        final String variant;
        final Target target;

        Candidate(Version version, String variant, Target target) {
            this.version = version;
            this.variant = variant;
            this.target = target;
        }

        Held held() {
            return new Held(version, variant, target.sha256, target.length);
        }
    }

    /** A way to a file: a patch with the file that it is for, or (null) the stored file. */
    private static final class Way {
        final Target target;
        final Manifest.Item base;

        Way(Target target, Manifest.Item base) {
            this.target = target;
            this.base = base;
        }
    }

    /** What is fetched for a file: nothing, where there are no ways; else the first that works. */
    static final class Step {
        private final Manifest.Item file;
        /** Patches, the shortest first, then the stored file. */
        private final List<Way> ways = new ArrayList<>();

        private Step(Manifest.Item file) {
            this.file = file;
        }
    }

    Fetching(Line line, Source source, Store files, Repository repository, Progress progress) {
        this.line = line;
        this.source = source;
        this.files = files;
        this.repository = repository;
        this.progress = progress;
    }

    /** Bytes that getting a release takes over the network, as planned. */
    static long wireBytes(List<Step> steps) {
        long sum = 0;
        for (Step each : steps) if (!each.ways.isEmpty()) sum += each.ways.get(0).target.length;
        return sum;
    }

    /** A document as it was signed; one that was fetched before is not fetched again. */
    byte[] document(Target target, long most) throws UpdateException {
        if (target.length > most) {
            throw new RefusedException(target.path + " has " + target.length + " bytes, " + most + " are allowed");
        }
        if (!here(target.sha256, target.length)) Download.download(source, files, target, bytes -> {});
        return content(files.file(target.sha256));
    }

    /** The manifest of a release. Refused where it is that of another one. */
    Manifest manifest(Candidate of) throws UpdateException {
        Manifest found = Manifest.read(document(of.target, Manifest.LIMIT_BYTES), of.target.path);
        boolean fits = found.kind().equals("device") && found.name().equals(line.model);
        if (!fits || !of.version.toString().equals(found.version()) || !of.variant.equals(found.variant())) {
            String said = found.name() + " " + found.version() + " " + found.variant();
            throw new RefusedException(of.target.path + " is the manifest of " + said);
        }
        long most = source.limits.releaseBytes;
        if (found.bytes() > most) {
            throw new RefusedException(of.version + " takes " + found.bytes() + " bytes, " + most + " are allowed here");
        }
        return found;
    }

    /**
     * What has to be fetched for a release: nothing for files that are here, a patch where one is shorter, or the file.
     *
     * @param bases manifests of releases that are here.
     */
    List<Step> plan(Manifest of, Candidate candidate, List<Manifest> bases) throws UpdateException {
        List<Step> steps = new ArrayList<>();
        for (Manifest.Item file : of.files()) {
            Step step = new Step(file);
            steps.add(step);
            if (here(file.sha256, file.bytes)) continue;
            Manifest.Item wire = file.wire();
            String path = Paths.release(line, candidate.version, candidate.variant) + "/" + wire.name;
            Target target = repository.offline(path);
            if (target == null || !target.sha256.equals(wire.sha256) || target.length != wire.bytes) {
                throw new RefusedException("the manifest names " + path + ", which was not signed as that");
            }
            for (Manifest base : bases) {
                for (Manifest.Item old : base.files()) addPatch(step, old, file);
            }
            Collections.sort(step.ways, Comparator.comparingLong(way -> way.target.length));
            step.ways.add(new Way(target, null));
        }
        return steps;
    }

    private void addPatch(Step step, Manifest.Item old, Manifest.Item file) {
        Target patch = repository.offline(Paths.patch(line, old.sha256, file.sha256));
        boolean pays = patch != null && patch.length < file.wire().bytes;
        if (pays && files.file(old.sha256).isFile()) step.ways.add(new Way(patch, old));
    }

    /** Brings all files of a plan here. */
    void get(List<Step> steps) throws UpdateException {
        long needed = 0;
        for (Step each : steps) if (!each.ways.isEmpty()) needed += each.file.bytes + each.file.wire().bytes;
        files.checkSpace(needed);
        loaded = 0;
        total = wireBytes(steps);
        for (Step step : steps) if (!step.ways.isEmpty()) get(step);
    }

    private void get(Step step) throws UpdateException {
        for (Way way : step.ways) {
            long before = loaded;
            try {
                get(step.file, way);
                return;
            } catch (RefusedException | PatchException | UnavailableException error) {
                // Whatever goes wrong with a patch, the stored file is there.
                if (way.base == null || source.isEnded()) throw error;
            }
            total += loaded - before - way.target.length + step.ways.get(step.ways.size() - 1).target.length;
        }
    }

    private void get(Manifest.Item file, Way way) throws UpdateException {
        File wire = Download.download(source, files, way.target, bytes -> {
            loaded += bytes;
            progress.at(Progress.Phase.DOWNLOAD, loaded, total);
        });
        boolean plain = way.base == null && file.stored == null;
        try {
            if (!plain) keep(file, way.base == null ? unpacked(file, wire) : patched(file, way.base, wire));
        } catch (OutOfMemoryError error) {
            throw new UnavailableException(file.name + " takes more memory than there is", "", error, true);
        } finally {
            if (!plain) files.delete(way.target.sha256);
        }
    }

    private byte[] unpacked(Manifest.Item file, File wire) throws UpdateException {
        boolean brotli = file.stored.encoding.equals("br");
        Unpack.Encoding encoding = brotli ? Unpack.Encoding.BROTLI : Unpack.Encoding.ZSTD;
        return Unpack.unpack(encoding, content(wire), size(file));
    }

    private byte[] patched(Manifest.Item file, Manifest.Item base, File patch) throws UpdateException {
        if (!here(base.sha256, base.bytes)) throw new RefusedException(base.name + " is damaged");
        return Delta.decode(content(files.file(base.sha256)), content(patch), size(file));
    }

    private static int size(Manifest.Item file) throws RefusedException {
        if (file.bytes <= Integer.MAX_VALUE - 8) return (int) file.bytes;
        throw new RefusedException(file.name + " is too large to be unpacked here");
    }

    private void keep(Manifest.Item file, byte[] made) throws UpdateException {
        if (!Bytes.isFile(made, file.sha256, file.bytes)) throw new RefusedException(file.name + " is another file");
        files.put(file.sha256, made);
    }

    private boolean here(String sha256, long length) {
        return Bytes.isFile(files.file(sha256), sha256, length);
    }

    private byte[] content(File file) throws StorageException {
        byte[] found = files.get(file.getName());
        if (found == null) throw new StorageException("cannot read " + file);
        return found;
    }
}

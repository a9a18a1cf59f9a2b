package dev.edgeship.client;

import java.io.File;
import java.util.Map;

/**
 * Keeps a model up to date from an update repository (docs/updates/jvm.md). What is active goes on whatever a call throws.
 *
 * <pre>{@code
 * Options options = new Options("https://models.example", root, "wake-word/v1", folder, runner);
 * Client client = new Client(options);
 * try (Start start = client.start()) {        // from what is here, no network
 *     interpreter = open(start.release().model());
 *     ...                                     // some predictions
 *     start.served();
 * }
 * client.update((phase, loaded, total) -> {}); // in a background job
 * }</pre>
 *
 * <p>For several threads and processes: one update runs at a time, others are told so.
 */
public final class Client {
    private static final Progress SILENT = (phase, loaded, total) -> {};

    private final Options options;
    private final Metadata.Root root;
    private final Place place;
    private final Probation probation;
    private volatile Source source;

    /**
     * @param options what the client is told.
     * @throws InputException for a root that is none.
     */
    public Client(Options options) throws InputException {
        this.options = options;
        root = Repository.pinned(options.root);
        place = new Place(options.folder, options.line.toString());
        probation = new Probation(place, options.limits);
    }

    /**
     * The release to run, from what is here: the active one, or the one before where that is damaged; null: none. Reads all
     * of its files once. A process that serves with it calls {@link #start} instead.
     */
    public Release active() {
        Installed.Serving found = Installed.serving(place.files, place.read(), options.variants);
        return found == null ? null : found.release;
    }

    /**
     * Says that this process runs what is active, so that a release in probation is taken back where processes die with it.
     *
     * @throws StorageException the folder cannot be written; {@link #active} still says what to run.
     */
    public Start start() throws UpdateException {
        Place.Lock[] lock = {null};
        Release[] release = {null};
        place.change(found -> {
            probation.settle(found, options.clock.getAsLong());
            Installed.Serving runs = Installed.serving(place.files, found, options.variants);
            if (runs == null) return;
            release[0] = runs.release;
            if (found.trial != null && runs.held.is(found.active)) lock[0] = probation.begin(runs.held);
        });
        return new Start(place, probation, options.clock, release[0], lock[0]);
    }

    /** What is here, and whether it may run. */
    public Status status() {
        return new Status(place.read());
    }

    /**
     * Looks for updates; nothing is fetched but metadata and documents.
     *
     * @throws UpdateException as {@link #update}.
     */
    public Outcome check() throws UpdateException {
        return update(SILENT, true);
    }

    /**
     * Looks for updates, and takes what there is. Takes as long as the network and the self-test may; not for the main thread.
     *
     * @param progress is told how far it is.
     * @throws RefusedException what is offered is not signed, not fresh or too old; or nothing is active and all of it failed.
     * @throws UnavailableException no check could be made, another one is running, or this thread was interrupted.
     * @throws StorageException the folder cannot be written.
     */
    public Outcome update(Progress progress) throws UpdateException {
        return update(progress, false);
    }

    /**
     * Takes what a file brings that {@code edgeship sideload} packed, on the same terms as {@link #update}: it holds the
     * repository's metadata, whose signatures, freshness, rollout and policy hold here as they would from the network.
     *
     * @param packet may be anything, from anybody.
     * @param progress is told how far it is.
     * @throws UpdateException as {@link #update}.
     */
    public Outcome sideload(File packet, Progress progress) throws UpdateException {
        try (Place.Lock lock = place.lock("update", false);
                Packet made = new Packet(packet, options.limits)) {
            return run(made, progress, false);
        }
    }

    private Outcome update(Progress progress, boolean checkOnly) throws UpdateException {
        try (Place.Lock lock = place.lock("update", false)) {
            return run(new Http(options.repository, options.limits), progress, checkOnly);
        }
    }

    private Outcome run(Source from, Progress progress, boolean checkOnly) throws UpdateException {
        source = from;
        try {
            return new Update(options, root, place, from, progress).run(checkOnly);
        } finally {
            source = null;
        }
    }

    /** Ends an update of this client that is under way, from another thread; what came is gone on with next time. */
    public void cancel() {
        Source found = source;
        if (found != null) found.end();
    }

    /**
     * Goes back to the release before, because a person or the application found the active one wrong; that is not tried
     * again.
     *
     * @param reason that is kept with the failure.
     * @throws RefusedException where there is none that is undamaged and may run.
     */
    public Release rollBack(String reason) throws UpdateException {
        State after = place.change(found -> {
            if (found.active == null || !probation.canGoBack(found)) {
                throw new RefusedException("there is no release to go back to", "Look for updates.");
            }
            probation.goBack(found, reason, options.clock.getAsLong());
        });
        return Installed.load(place.files, after.active, false);
    }

    /**
     * Takes a release that came with the application, where nothing is active: what updates begin from. It is trusted as the
     * application is, and its files are held to its manifest.
     *
     * @param manifest its manifest.json.
     * @param files name to content.
     * @return whether it was taken.
     * @throws RefusedException for a manifest of something else, or files that are not those that it names.
     * @throws StorageException the folder cannot be written.
     */
    public boolean adopt(byte[] manifest, Map<String, byte[]> files) throws UpdateException {
        try (Place.Lock lock = place.lock("update", false)) {
            if (place.read().active != null) return false;
            Manifest found = Manifest.read(manifest, "manifest.json");
            if (!found.kind().equals("device") || !found.name().equals(options.line.model) || found.version() == null) {
                throw new RefusedException(found.name() + " " + found.version() + " is no release of " + options.line);
            }
            Version version = options.line.version(new Node(found.version(), "version"));
            for (Manifest.Item file : found.files()) {
                byte[] content = files.get(file.name);
                if (content == null || !Bytes.isFile(content, file.sha256, file.bytes)) {
                    throw new RefusedException(file.name + " is not what its manifest names");
                }
                place.files.put(file.sha256, content);
            }
            String digest = Bytes.sha256(manifest);
            place.files.put(digest, manifest);
            place.change(copy -> copy.active = new Held(version, found.variant(), digest, manifest.length));
            return true;
        }
    }
}

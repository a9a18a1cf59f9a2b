package dev.edgeship.client;

import java.io.File;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.Map;

/** A client that follows a vector of repositories.json: it runs a release, and then meets a repository. */
final class Device implements AutoCloseable {
    final Server server;
    private final Vectors.Repositories all;
    private final Node found;
    File folder;
    /** Of another repository than that of the server. */
    String address;
    Runner runner = new TinyRunner();
    Limits limits = new Limits().network(5, 1).selfTest(20, 1000).probation(0, 0, 3);
    volatile long now;
    private boolean refused;

    Device(Server server, Vectors.Repositories all, Node found, File folder) {
        this.server = server;
        this.all = all;
        this.found = found;
        this.folder = folder;
    }

    Client client() throws Exception {
        String of = address == null ? server.url() : address;
        Options options = new Options(of, all.content(found.field("root")), all.all.field("line").text(), folder, runner);
        return new Client(options.variants("tflite-float32").limits(limits).clock(() -> now));
    }

    /** Runs the release that the vector begins with. */
    void enrol() throws Exception {
        server.files = all.before(found);
        now = Vectors.moment(all.all.field("enrolled"));
        client().update((phase, loaded, total) -> {});
    }

    /** Another client, which runs nothing. */
    void folderAnew(File other) {
        folder = other;
    }

    /** Another client, which runs the release that the vector begins with. */
    void enrolAnew(File other) throws Exception {
        folderAnew(other);
        enrol();
        server.requests.clear();
    }

    /** The repository of the vector is there now. */
    void offered() throws Exception {
        server.files = all.listing(found.field("repository"));
        now = Vectors.moment(found.field("now"));
    }

    /** What comes of an update with the repository of the vector. */
    String meet() throws Exception {
        offered();
        return attempt();
    }

    /** What comes of an update: the outcome, or the error. */
    String attempt() throws Exception {
        try {
            Outcome outcome = client().update((phase, loaded, total) -> {});
            refused = !outcome.refused().isEmpty();
            return outcome.result() + " " + outcome.version() + " " + outcome.refused();
        } catch (UpdateException error) {
            refused = true;
            return error.code() + ": " + error.getMessage();
        }
    }

    boolean refused() {
        return refused;
    }

    /** The version that a new process serves, if it answers. */
    String serves() throws Exception {
        Release release = client().active();
        if (release == null) return null;
        Map<String, Tensor> inputs = Collections.singletonMap(
                "x", new Tensor("float32", new int[] {1, 4}, ByteBuffer.allocate(16)));
        try (Runner.Session session = new TinyRunner().open(release.model(), release.manifest())) {
            return session.run(inputs).get("probabilities").size() == 3 ? release.version() : null;
        }
    }

    @Override
    public void close() {}
}

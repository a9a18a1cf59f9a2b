package dev.edgeship.demo.core;

import dev.edgeship.client.Client;
import dev.edgeship.client.Outcome;
import dev.edgeship.client.Progress;
import dev.edgeship.client.Release;
import dev.edgeship.client.Status;
import dev.edgeship.client.Unsigned;
import dev.edgeship.client.UpdateException;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Does what a person or a computer asks of the model: install, go back, measure. One of these at a time, not on the main
 * thread; what there is can be asked meanwhile, so that predictions wait for no update.
 */
public final class Desk {
    /** Of an answer. */
    public static final String SCHEMA = "edgeship.answer/1";
    private static final Progress SILENT = (phase, loaded, total) -> {};

    /** Where a release came from. */
    public enum Origin { APP, NETWORK, FILE, UNSIGNED, UNKNOWN }

    private final Client client;
    private final Unsigned unsigned;
    private final Bench bench;
    private final Map<String, Object> app;
    private final boolean forDevelopers;
    private final Origins origins;
    private volatile int changes;

    /**
     * @param client of the application.
     * @param unsigned where bundles go that nobody signed.
     * @param engine that runs files.
     * @param app what the application says about itself.
     * @param forDevelopers whether this build takes what nobody signed; never in one that people use.
     * @param origins a file that keeps where releases came from.
     */
    public Desk(Client client, Unsigned unsigned, Engine engine, Map<String, Object> app, boolean forDevelopers, File origins) {
        this.client = client;
        this.unsigned = unsigned;
        this.bench = new Bench(engine);
        this.app = app;
        this.forDevelopers = forDevelopers;
        this.origins = new Origins(origins);
    }

    /** Takes a repository in a file, on the terms of any update. */
    public synchronized Outcome install(File packet, Progress progress) throws UpdateException {
        return came(client.sideload(packet, progress), Origin.FILE);
    }

    /** Looks for updates in the network, and takes what there is. */
    public synchronized Outcome update(Progress progress) throws UpdateException {
        return came(client.update(progress), Origin.NETWORK);
    }

    /** What is signed and current runs, also where a developer brought something before. */
    private Outcome came(Outcome outcome, Origin from) throws UpdateException {
        boolean updated = outcome.result() == Outcome.Result.UPDATED;
        if (updated) remember(outcome.version(), from);
        boolean ended = isUnsigned() && (updated || outcome.result() == Outcome.Result.CURRENT);
        if (ended) unsigned.clear();
        if (updated || ended) changes++;
        return outcome;
    }

    /** Ends what {@link #install} or {@link #update} do on another thread. */
    public void cancel() {
        client.cancel();
    }

    /** Says where the active release came from. */
    public synchronized void remember(String version, Origin from) {
        origins.remember(version, from, Arrays.asList(client.status().active(), client.status().previous()));
    }

    /** Grows whenever something else is to run: who has loaded a model loads it again. */
    public int changes() {
        return changes;
    }

    /** What shall run: what a developer brought, else the active release; null: nothing is here. */
    public Release runs() {
        Release found = unsigned();
        return found == null ? client.active() : found;
    }

    /** What a developer brought, signed by nobody; null: nothing, or this build takes none. */
    public Release unsigned() {
        return forDevelopers ? unsigned.active() : null;
    }

    /** Whether what runs was signed by nobody. */
    public boolean isUnsigned() {
        return unsigned() != null;
    }

    /** What is here that was signed. */
    public Status signed() {
        return client.status();
    }

    /** Whether {@link #rollBack} leads anywhere, as far as that is known without reading files. */
    public boolean canGoBack() {
        return isUnsigned() || signed().previous() != null;
    }

    /** Where what runs came from. */
    public Origin origin() {
        return isUnsigned() ? Origin.UNSIGNED : origins.of(signed().active());
    }

    /** Takes a bundle that nobody signed. Throws IllegalStateException in a build that does not. */
    public synchronized Release develop(File bundle) throws UpdateException {
        if (!forDevelopers) {
            throw new IllegalStateException("this is a release build: it takes only what its repository has signed");
        }
        try {
            return unsigned.take(bundle);
        } finally {
            changes++; // a bundle that fails ends the one before it
        }
    }

    /** Goes back: from what a developer brought to what was signed, else to the release before. */
    public synchronized String rollBack(String reason) throws UpdateException {
        if (isUnsigned()) unsigned.clear();
        else client.rollBack(reason);
        changes++;
        return signed().active();
    }

    /**
     * Answers a computer: a file {@code answer-ID.json} in the folder, there whole or not at all.
     *
     * @throws IOException the answer cannot be written; IllegalArgumentException: there is no id.
     */
    public synchronized void answer(Asked asked) throws IOException {
        File to = asked.answer();
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("schema", SCHEMA);
        try {
            made.put("result", did(asked, made));
        } catch (UpdateException error) {
            made.put("result", error.code().toString());
            made.put("message", error.getMessage());
            made.put("remedy", error.remedy());
        } catch (Exception | LinkageError | OutOfMemoryError error) { // whatever a runtime does, the computer is told
            boolean input = error instanceof IllegalArgumentException || error instanceof IllegalStateException;
            made.put("result", input ? "INPUT" : "FAILED");
            made.put("message", input ? String.valueOf(error.getMessage()) : String.valueOf(error));
            made.put("remedy", "");
        }
        made.put("status", facts());
        File part = new File(to.getPath() + ".part");
        Files.write(part.toPath(), Answer.json(made).getBytes(StandardCharsets.UTF_8));
        Files.move(part.toPath(), to.toPath(), StandardCopyOption.ATOMIC_MOVE);
    }

    private String did(Asked asked, Map<String, Object> more) throws Exception {
        switch (asked.text("command")) {
            case "status": return "OK";
            case "update": return told(update(SILENT), more);
            case "sideload": return told(install(asked.file("file"), SILENT), more);
            case "unsigned":
                more.put("variant", develop(asked.file("file")).variant());
                return "UNSIGNED";
            case "rollback":
                more.put("version", rollBack("by hand"));
                return "ROLLED_BACK";
            case "benchmark":
                if (!forDevelopers) throw new IllegalStateException("this is a release build: it runs no files of others");
                more.putAll(bench.measure(asked));
                return "MEASURED";
            default: throw new IllegalArgumentException("there is no command " + asked.text("command"));
        }
    }

    private static String told(Outcome outcome, Map<String, Object> to) {
        to.put("version", outcome.version());
        to.put("variant", outcome.variant());
        to.put("bytes", outcome.bytes());
        to.put("refused", outcome.refused());
        return outcome.result().toString();
    }

    private Map<String, Object> facts() {
        Status found = signed();
        Map<String, Object> made = new LinkedHashMap<>(app);
        made.put("debuggable", forDevelopers);
        made.put("active", found.active());
        made.put("previous", found.previous());
        made.put("probation", found.inProbation());
        made.put("revoked", found.isRevoked());
        made.put("origin", origin().toString());
        return made;
    }
}

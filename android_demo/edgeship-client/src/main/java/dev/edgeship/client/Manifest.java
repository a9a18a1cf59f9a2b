package dev.edgeship.client;

import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** What a release is, schema {@code edgeship.manifest/1} (docs/updates/manifest.md). */
public final class Manifest {
    /** Largest manifest, in bytes. */
    static final int LIMIT_BYTES = 4 << 20;
    private static final long MOST_BYTES = 1L << 31;
    private static final int MANY = 100_000;
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*");
    private static final Pattern DTYPE = Pattern.compile("[a-z0-9_]{1,32}");
    private static final Pattern MINIMUM = Pattern.compile("\\d{1,5}(\\.\\d{1,5}){1,3}");
    private static final Pattern CREATED =
            Pattern.compile("\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?(Z|[+-]\\d{2}:\\d{2})");

    private final String kind;
    private final String name;
    private final Version version;
    private final String format;
    private final String variant;
    private final String entry;
    private final List<Item> files;
    private final String runtime;
    private final Double latencyMs;
    private final List<TensorSpec> inputs;
    private final List<TensorSpec> outputs;
    private final ImageInput image;
    private final List<String> labels;
    private final Map<String, String> goldenInputs;
    private final Map<String, String> goldenOutputs;
    private final List<Tolerance> tolerances;

    /** A file of a release; where {@code stored} is not null only that lies in the repository, and decodes to it. */
    static final class Item {
        final String name;
        final String sha256;
        final long bytes;
        final Item stored;
        /** Of a stored file: {@code br} or {@code zstd}. */
        final String encoding;

        private Item(Node node, boolean isStored) throws RefusedException {
            node.closed("name", "sha256", "size_bytes", isStored ? "encoding" : "stored");
            name = node.field("name").text(NAME, 1024);
            sha256 = Metadata.digest(node.field("sha256"));
            bytes = node.field("size_bytes").integer(0, MOST_BYTES);
            encoding = isStored ? node.field("encoding").oneOf("br", "zstd") : null;
            stored = isStored ? null : node.nullable("stored", found -> new Item(found, true));
        }

        /** What lies in the repository. */
        Item wire() {
            return stored == null ? this : stored;
        }
    }

    /** How far outputs may be from the golden ones in a runtime; {@code *}: in every other. */
    static final class Tolerance {
        final String runtime;
        final Map<String, Double> maxAbs;
        final Map<String, Double> agreement;

        private Tolerance(Node node) throws RefusedException {
            node.closed("runtime", "max_abs", "agreement");
            runtime = node.field("runtime").text();
            maxAbs = node.field("max_abs").map(MANY, each -> each.number(0, Double.MAX_VALUE));
            agreement = node.field("agreement").map(MANY, each -> each.number(0, 1));
        }
    }

    private Manifest(Node node) throws RefusedException {
        node.closed(
                "schema", "kind", "name", "version", "created", "artifact", "format", "variant", "entry", "files", "runtime",
                "budget", "inputs", "outputs", "labels", "golden", "metric", "latency", "card", "lineage");
        node.field("schema").oneOf("edgeship.manifest/1");
        kind = node.field("kind").oneOf("device", "web");
        name = node.field("name").text();
        version = node.nullable("version", Version::read);
        node.field("created").text(CREATED, 64);
        node.field("artifact").text();
        format = node.field("format").oneOf("tflite", "onnx", "tfjs");
        variant = node.field("variant").text();
        entry = node.field("entry").text(NAME, 1024);
        files = node.field("files").list(1, 256, each -> new Item(each, false));
        Node needs = node.field("runtime").closed("name", "minimum", "ops");
        runtime = needs.field("name").oneOf("litert", "onnxruntime", "tfjs");
        needs.field("minimum").text(MINIMUM);
        needs.field("ops").list(0, 4096, each -> each.closed("name", "version"));
        Node budget = node.field("budget").closed("latency_ms", "memory_bytes");
        latencyMs = budget.nullable("latency_ms", each -> each.number(Double.MIN_VALUE, Double.MAX_VALUE));
        budget.nullable("memory_bytes", each -> each.integer(1));
        inputs = node.field("inputs").list(1, MANY, each -> tensor(each, "preprocessing"));
        boolean single = inputs.size() == 1;
        image = single ? node.field("inputs").list(1, 1, each -> ImageInput.read(inputs.get(0), each.field("preprocessing"))).get(0) : null;
        outputs = node.field("outputs").list(1, MANY, each -> tensor(each));
        labels = node.field("labels").list(0, MANY, Node::text);
        Node golden = node.field("golden").closed("samples", "inputs", "outputs", "tolerances");
        golden.field("samples").integer(1);
        goldenInputs = golden.field("inputs").map(MANY, each -> each.text(NAME, 1024));
        goldenOutputs = golden.field("outputs").map(MANY, each -> each.text(NAME, 1024));
        tolerances = golden.field("tolerances").list(1, MANY, Tolerance::new);
        // What is left is for people and other tools: it must be there, and is not looked into here.
        for (String each : new String[] {"metric", "latency", "card", "lineage"}) node.field(each);
        check(node);
    }

    /**
     * Reads a manifest that may come from anywhere.
     *
     * @param bytes of manifest.json.
     * @param at its place, for the error.
     * @throws RefusedException naming the place that is wrong.
     */
    static Manifest read(byte[] bytes, String at) throws RefusedException {
        if (bytes.length > LIMIT_BYTES) throw new RefusedException(at + " has " + bytes.length + " bytes");
        return new Manifest(Node.parse(bytes, at));
    }

    private static TensorSpec tensor(Node node, String... more) throws RefusedException {
        String[] names = new String[5 + more.length];
        System.arraycopy(new String[] {"name", "shape", "dtype", "quantization", "range"}, 0, names, 0, 5);
        System.arraycopy(more, 0, names, 5, more.length);
        node.closed(names);
        List<Long> shape = node.field("shape").list(0, 16, each -> each.isNull() ? (Long) (-1L) : (Long) each.integer(0));
        Node steps = node.field("quantization");
        boolean quantized = !steps.isNull();
        if (quantized) steps.closed("scale", "zero_point");
        double scale = quantized ? steps.field("scale").number(Double.MIN_VALUE, Double.MAX_VALUE) : 0;
        long zero = quantized ? steps.field("zero_point").integer(-Json.LARGEST) : 0;
        return new TensorSpec(node.field("name").text(), shape, node.field("dtype").text(DTYPE), scale, zero);
    }

    private void check(Node node) throws RefusedException {
        String home = format.equals("tfjs") ? "web tfjs" : "device " + (format.equals("tflite") ? "litert" : "onnxruntime");
        if (!home.equals(kind + " " + runtime)) throw node.field("format").unfit("of this kind and runtime");
        Set<String> names = new HashSet<>(Collections.singleton("manifest.json"));
        Set<String> own = new HashSet<>();
        for (Item file : files) {
            own.add(file.name);
            // Some file systems take names in any case for one.
            boolean once = names.add(file.name.toLowerCase(Locale.ROOT));
            once &= file.stored == null || names.add(file.stored.name.toLowerCase(Locale.ROOT));
            if (!once) throw node.field("files").unfit("each once");
        }
        if (bytes() > MOST_BYTES) throw node.field("files").unfit("at most " + MOST_BYTES + " bytes");
        boolean known = own.contains(entry) && own.containsAll(goldenInputs.values());
        if (!known || !own.containsAll(goldenOutputs.values())) throw node.unfit("about files that it names");
        Set<String> made = names(outputs);
        boolean each = names(inputs).equals(goldenInputs.keySet()) && made.equals(goldenOutputs.keySet());
        if (!each || made.size() != outputs.size() || goldenInputs.size() != inputs.size()) {
            throw node.field("golden").unfit("a file for each tensor");
        }
        boolean general = false;
        for (Tolerance found : tolerances) {
            general |= found.runtime.equals("*");
            if (!found.maxAbs.keySet().equals(made) || !made.containsAll(found.agreement.keySet())) {
                throw node.field("golden").unfit("with tolerances of each output");
            }
        }
        if (!general) throw node.field("golden").unfit("with a tolerance for every runtime");
    }

    private static Set<String> names(Collection<TensorSpec> specs) {
        Set<String> made = new HashSet<>();
        for (TensorSpec each : specs) made.add(each.name());
        return made;
    }

    /** Bytes of all files as they are used. */
    long bytes() {
        long sum = 0;
        for (Item each : files) sum += each.bytes;
        return sum;
    }

    /** {@code device} or {@code web}. */
    String kind() {
        return kind;
    }

    /** Of the model. */
    public String name() {
        return name;
    }

    /** Of the release; null for a bundle that was never published. */
    public String version() {
        return version == null ? null : version.toString();
    }

    /** {@code <format>-<variant>}, such as {@code tflite-int8}. */
    public String variant() {
        return format + "-" + variant;
    }

    /** Name of the file that the runtime opens. */
    public String entry() {
        return entry;
    }

    /** In the order in which the model was made. */
    public List<TensorSpec> inputs() {
        return inputs;
    }

    /** How a picture becomes the input; null where the model does not take one picture. */
    public ImageInput image() {
        return image;
    }

    /** In the order in which the model was made. */
    public List<TensorSpec> outputs() {
        return outputs;
    }

    /** Class names by output index; empty where outputs are no classes. */
    public List<String> labels() {
        return labels;
    }

    List<Item> files() {
        return files;
    }

    /** Input to file with golden values; see {@link #goldenOutputs}. */
    Map<String, String> goldenInputs() {
        return goldenInputs;
    }

    Map<String, String> goldenOutputs() {
        return goldenOutputs;
    }

    /** Of the runtime of the manifest where {@code own}, else of any other. */
    Tolerance tolerance(boolean own) {
        Tolerance general = null;
        for (Tolerance each : tolerances) {
            if (own && each.runtime.equals(runtime)) return each;
            if (each.runtime.equals("*")) general = each;
        }
        return general;
    }

    /** Limit of the 95th percentile of an inference, in milliseconds; null: none. */
    Double latencyMs() {
        return latencyMs;
    }
}

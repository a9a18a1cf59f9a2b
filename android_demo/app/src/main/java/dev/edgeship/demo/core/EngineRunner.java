package dev.edgeship.demo.core;

import dev.edgeship.client.Manifest;
import dev.edgeship.client.Runner;
import dev.edgeship.client.Tensor;
import dev.edgeship.client.TensorSpec;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An engine as the update client asks for it: inputs and outputs by the names of a manifest. */
public final class EngineRunner implements Runner {
    private final Engine engine;

    public EngineRunner(Engine engine) {
        this.engine = engine;
    }

    @Override
    public Session open(File model, Manifest manifest) throws Exception {
        List<int[]> shapes = new ArrayList<>();
        Engine.Loaded loaded = engine.open(model, 1, shapes);
        try {
            List<TensorSpec> inputs = matched(manifest.inputs(), loaded.inputs());
            List<TensorSpec> outputs = matched(manifest.outputs(), loaded.outputs());
            return new One(loaded, inputs, outputs);
        } catch (IllegalArgumentException error) {
            loaded.close();
            throw error;
        }
    }

    /** What the manifest describes, in the file's order. */
    private static List<TensorSpec> matched(List<TensorSpec> specs, List<String> names) {
        if (specs.size() == 1 && names.size() == 1) return specs;
        List<TensorSpec> made = new ArrayList<>();
        for (String name : names) {
            for (TensorSpec spec : specs) if (spec.name().equals(name)) made.add(spec);
        }
        if (made.size() == names.size() && made.size() == specs.size()) return made;
        throw new IllegalArgumentException("the file has " + names + ", and its manifest others");
    }

    /** A model that is loaded. */
    private static final class One implements Session {
        private final Engine.Loaded loaded;
        private final List<TensorSpec> inputs;
        private final List<TensorSpec> outputs;

        One(Engine.Loaded loaded, List<TensorSpec> inputs, List<TensorSpec> outputs) {
            this.loaded = loaded;
            this.inputs = inputs;
            this.outputs = outputs;
        }

        @Override
        public Map<String, Tensor> run(Map<String, Tensor> given) throws Exception {
            List<ByteBuffer> raw = new ArrayList<>();
            for (TensorSpec spec : inputs) raw.add(direct(given.get(spec.name()).data()));
            List<ByteBuffer> found = loaded.run(raw);
            Map<String, Tensor> made = new LinkedHashMap<>();
            for (int at = 0; at < found.size(); at++) {
                TensorSpec spec = outputs.get(at);
                ByteBuffer own = ByteBuffer.allocate(found.get(at).remaining()).order(ByteOrder.LITTLE_ENDIAN);
                own.put(found.get(at).duplicate()).flip();
                made.put(spec.name(), new Tensor(spec.dtype(), shape(spec, own.remaining()), own));
            }
            return Collections.unmodifiableMap(made);
        }

        /** Of one sample; one dynamic axis besides is found by the bytes. */
        private static int[] shape(TensorSpec spec, int bytes) {
            int[] made = new int[spec.shape().size()];
            int known = width(spec.dtype());
            int open = -1;
            for (int axis = 0; axis < made.length; axis++) {
                long size = spec.shape().get(axis);
                made[axis] = size >= 0 ? (int) size : 1;
                if (size < 0 && axis > 0) open = axis;
                known *= made[axis];
            }
            if (open >= 0 && known > 0) made[open] = bytes / known;
            return made;
        }

        private static int width(String dtype) {
            int at = dtype.length();
            while (at > 0 && Character.isDigit(dtype.charAt(at - 1))) at--;
            return at == dtype.length() ? 1 : Integer.parseInt(dtype.substring(at)) / 8;
        }

        @Override
        public void close() {
            loaded.close();
        }
    }

    /** The same bytes in memory that native code reads. */
    static ByteBuffer direct(ByteBuffer from) {
        if (from.isDirect()) return from;
        ByteBuffer made = ByteBuffer.allocateDirect(from.remaining()).order(ByteOrder.LITTLE_ENDIAN);
        made.put(from.duplicate()).flip();
        return made;
    }
}

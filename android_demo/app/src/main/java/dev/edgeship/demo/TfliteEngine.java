package dev.edgeship.demo;

import dev.edgeship.demo.core.Engine;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;
import org.tensorflow.lite.TensorFlowLite;

/** TensorFlow Lite, or LiteRT, which has the same classes: the build flavour chooses. On the CPU, with XNNPACK. */
final class TfliteEngine implements Engine {
    @Override
    public String name() {
        return "tflite " + TensorFlowLite.runtimeVersion();
    }

    @Override
    public Loaded open(File model, int threads, List<int[]> shapes) {
        Interpreter made = new Interpreter(model, new Interpreter.Options().setNumThreads(threads));
        try {
            for (int at = 0; at < shapes.size(); at++) made.resizeInput(at, shapes.get(at));
            made.allocateTensors();
            return new Open(made);
        } catch (RuntimeException error) {
            made.close();
            throw error;
        }
    }

    /** A file that is loaded. */
    private static final class Open implements Loaded {
        private final Interpreter interpreter;
        private final List<String> inputs = new ArrayList<>();
        private final List<String> outputs = new ArrayList<>();
        private final Map<Integer, Object> results = new HashMap<>();

        Open(Interpreter interpreter) {
            this.interpreter = interpreter;
            for (int at = 0; at < interpreter.getInputTensorCount(); at++) inputs.add(interpreter.getInputTensor(at).name());
            for (int at = 0; at < interpreter.getOutputTensorCount(); at++) outputs.add(interpreter.getOutputTensor(at).name());
            for (String key : interpreter.getSignatureKeys()) nameBy(key);
        }

        /** Names of a signature are the converter's own; those of tensors are an accident of the graph. */
        private void nameBy(String key) {
            for (String name : interpreter.getSignatureInputs(key)) {
                Tensor of = interpreter.getInputTensorFromSignature(name, key);
                for (int at = 0; at < inputs.size(); at++) {
                    if (interpreter.getInputTensor(at).index() == of.index()) inputs.set(at, name);
                }
            }
            for (String name : interpreter.getSignatureOutputs(key)) {
                Tensor of = interpreter.getOutputTensorFromSignature(name, key);
                for (int at = 0; at < outputs.size(); at++) {
                    if (interpreter.getOutputTensor(at).index() == of.index()) outputs.set(at, name);
                }
            }
        }

        @Override
        public List<String> inputs() {
            return inputs;
        }

        @Override
        public List<String> outputs() {
            return outputs;
        }

        @Override
        public List<ByteBuffer> run(List<ByteBuffer> given) {
            Object[] raw = new Object[given.size()];
            for (int at = 0; at < raw.length; at++) raw[at] = given.get(at).duplicate().order(ByteOrder.nativeOrder());
            for (int at = 0; at < outputs.size(); at++) {
                int bytes = interpreter.getOutputTensor(at).numBytes();
                ByteBuffer kept = (ByteBuffer) results.get(at);
                if (kept == null || kept.capacity() != bytes) {
                    results.put(at, ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder()));
                } else {
                    kept.clear();
                }
            }
            interpreter.runForMultipleInputsOutputs(raw, results);
            List<ByteBuffer> made = new ArrayList<>();
            for (int at = 0; at < outputs.size(); at++) {
                ByteBuffer found = (ByteBuffer) results.get(at);
                found.rewind();
                made.add(found);
            }
            return made;
        }

        @Override
        public void close() {
            interpreter.close();
        }
    }
}

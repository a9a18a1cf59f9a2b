package dev.edgeship.demo.core;

import java.io.Closeable;
import java.io.File;
import java.nio.ByteBuffer;
import java.util.List;

/** What runs .tflite files: the one place that knows a runtime. */
public interface Engine {
    /** A file that is loaded; for one thread at a time. */
    interface Loaded extends Closeable {
        /** Names of the inputs in the order of {@link #run}: those of the signature where the file has one. */
        List<String> inputs();

        /** Names of the outputs, in the order of {@link #run}. */
        List<String> outputs();

        /**
         * One inference.
         *
         * @param inputs raw values of each input as the file stores them, little-endian; direct buffers are not copied.
         * @return raw values of each output; the buffers are used again by the next call.
         * @throws Exception what does not fit, or whatever the runtime says.
         */
        List<ByteBuffer> run(List<ByteBuffer> inputs) throws Exception;

        @Override
        void close();
    }

    /** Name and version, for people and for reports. */
    String name();

    /**
     * Loads a file.
     *
     * @param threads of the CPU.
     * @param shapes of the inputs, in the file's order; empty: as the file has them.
     * @throws Exception what is no model, or whatever the runtime says.
     */
    Loaded open(File model, int threads, List<int[]> shapes) throws Exception;
}

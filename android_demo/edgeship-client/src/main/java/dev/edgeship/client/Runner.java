package dev.edgeship.client;

import java.io.Closeable;
import java.io.File;
import java.util.Map;

/**
 * The runtime of the application: TensorFlow Lite on Android. The client runs golden samples through it before a release
 * becomes active.
 */
public interface Runner {
    /** A model that was loaded; not for several threads. */
    interface Session extends Closeable {
        /**
         * One inference.
         *
         * @param inputs of one sample, by the names of the manifest, in the types that the file has.
         * @return outputs of that sample, by the names of the manifest, in the types that the file has.
         * @throws Exception whatever goes wrong refuses the release for ever.
         */
        Map<String, Tensor> run(Map<String, Tensor> inputs) throws Exception;
    }

    /**
     * Loads a model.
     *
     * @param model the file.
     * @param manifest what its inputs and outputs are.
     * @throws UnsupportedOperationException this device cannot run any model now; the release is tried again. The same holds
     *     for a LinkageError: a native library that is missing.
     * @throws Exception whatever else goes wrong refuses the release for ever.
     */
    Session open(File model, Manifest manifest) throws Exception;

    /** Whether it is the runtime that manifests are made with (LiteRT, which TensorFlow Lite is), so that its tolerances hold. */
    default boolean isLiteRt() {
        return true;
    }
}

package dev.edgeship.client;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.util.Collections;
import java.util.Map;

/**
 * Runs the models of the tests: a .tflite file with one fully connected layer (float32, 4 to 3) and softmax. It finds
 * weights and bias in the buffers of the flatbuffer, so that a damaged file gives other answers, or none.
 */
public final class TinyRunner implements Runner {
    /** Fields of tables in the schema of TensorFlow Lite: Model.buffers and Buffer.data. */
    private static final int MODEL_BUFFERS = 4, BUFFER_DATA = 0;

    /** What a model answers to 4 numbers: 3 probabilities. */
    public static Tensor answer(File model, Tensor x) throws IOException {
        ByteBuffer file = read(model);
        int buffers = vector(file, field(file, file.getInt(0), MODEL_BUFFERS));
        return softmax(file, data(file, buffers, 1), data(file, buffers, 2), x);
    }

    private static ByteBuffer read(File model) throws IOException {
        ByteBuffer file = ByteBuffer.wrap(Files.readAllBytes(model.toPath())).order(ByteOrder.LITTLE_ENDIAN);
        if (file.capacity() < 8 || file.getInt(4) != 0x334c4654) throw new IOException("it is no model");
        int buffers = vector(file, field(file, file.getInt(0), MODEL_BUFFERS));
        if (file.getInt(buffers) != 3) throw new IOException("it is another network");
        return file;
    }

    @Override
    public Session open(File model, Manifest manifest) throws IOException {
        ByteBuffer file = read(model);
        int buffers = vector(file, field(file, file.getInt(0), MODEL_BUFFERS));
        int weights = data(file, buffers, 1);
        int bias = data(file, buffers, 2);
        String input = manifest.inputs().get(0).name();
        String output = manifest.outputs().get(0).name();
        return new Session() {
            @Override
            public Map<String, Tensor> run(Map<String, Tensor> inputs) {
                return Collections.singletonMap(output, softmax(file, weights, bias, inputs.get(input)));
            }

            @Override
            public void close() {}
        };
    }

    private static int field(ByteBuffer file, int table, int number) throws IOException {
        int fields = table - file.getInt(table);
        int offset = 4 + 2 * number < file.getShort(fields) ? file.getShort(fields + 4 + 2 * number) : 0;
        if (offset == 0) throw new IOException("a field is missing");
        return table + offset;
    }

    private static int vector(ByteBuffer file, int at) {
        return at + file.getInt(at);
    }

    private static int data(ByteBuffer file, int buffers, int number) throws IOException {
        int at = buffers + 4 + 4 * number;
        return vector(file, field(file, at + file.getInt(at), BUFFER_DATA)) + 4;
    }

    private static Tensor softmax(ByteBuffer file, int weights, int bias, Tensor x) {
        double[] scores = new double[3];
        double sum = 0;
        for (int row = 0; row < 3; row++) {
            double score = file.getFloat(bias + 4 * row);
            for (int column = 0; column < 4; column++) score += file.getFloat(weights + 16 * row + 4 * column) * x.get(column);
            sum += scores[row] = Math.exp(score);
        }
        ByteBuffer made = ByteBuffer.allocate(12).order(ByteOrder.LITTLE_ENDIAN);
        for (double score : scores) made.putFloat((float) (score / sum));
        made.flip();
        return new Tensor("float32", new int[] {1, 3}, made);
    }
}

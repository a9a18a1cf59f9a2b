package dev.edgeship.client;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.Base64;
import java.util.List;

/** Prints the input for each of some pictures, in base64: a JSON file says which (tests/e2e/test_jvm_pictures.py). */
final class Pictures {
    private Pictures() {}

    public static void main(String[] arguments) throws Exception {
        Node all = Node.parse(Files.readAllBytes(new File(arguments[0]).toPath()), "pictures");
        for (Node each : Vectors.list(all)) {
            List<Long> shape = each.field("shape").list(4, 4, size -> size.integer(1));
            Node steps = each.field("quantization");
            double scale = steps.isNull() ? 0 : steps.field("scale").number(0, 1e9);
            long zero = steps.isNull() ? 0 : steps.field("zero_point").integer(-1000);
            TensorSpec spec = new TensorSpec("image", shape, each.field("dtype").text(), scale, zero);
            ByteBuffer bytes = ByteBuffer.wrap(Vectors.base64(each.field("pixels")));
            int[] pixels = new int[bytes.remaining() / 4];
            bytes.asIntBuffer().get(pixels);
            ImageInput image = ImageInput.read(spec, each.field("preprocessing"));
            ByteBuffer made = image.tensor(pixels, (int) each.field("width").integer(1)).data();
            byte[] content = new byte[made.remaining()];
            made.get(content);
            System.out.println(Base64.getEncoder().encodeToString(content));
        }
    }
}

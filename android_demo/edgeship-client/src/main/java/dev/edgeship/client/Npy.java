package dev.edgeship.client;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Arrays as NumPy keeps them (.npy, versions 1 to 3), little-endian and in C order, which is how golden samples are made. */
final class Npy {
    private static final Pattern HEAD = Pattern.compile(
            "\\s*\\{\\s*'descr':\\s*'[<|]([fiub])([1248])',\\s*'fortran_order':\\s*False,\\s*'shape':\\s*\\(([0-9, ]*)\\),?\\s*\\}\\s*");

    private Npy() {}

    static Tensor read(byte[] bytes, String name) throws RefusedException {
        ByteBuffer found = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        try {
            boolean isNpy = found.get() == (byte) 0x93 && found.get() == 'N' && found.get() == 'U' && found.get() == 'M';
            isNpy = isNpy && found.get() == 'P' && found.get() == 'Y';
            int version = isNpy ? found.getShort() & 255 : 0;
            int length = version == 1 ? found.getShort() & 0xffff : version > 0 ? found.getInt() : -1;
            byte[] head = new byte[length];
            found.get(head);
            Matcher said = HEAD.matcher(new String(head, StandardCharsets.ISO_8859_1));
            if (said.matches()) return new Tensor(dtype(said.group(1), said.group(2)), shape(said.group(3)), found);
        } catch (RuntimeException error) { // it is cut off, or has another size than it says
            throw new RefusedException(name + " is no array: " + error.getMessage(), "", error);
        }
        throw new RefusedException(name + " is no array that is read here");
    }

    private static String dtype(String kind, String width) {
        if (kind.equals("b")) return "bool";
        String word = kind.equals("f") ? "float" : kind.equals("u") ? "uint" : "int";
        return word + 8 * Integer.parseInt(width);
    }

    private static int[] shape(String said) {
        String[] parts = said.trim().isEmpty() ? new String[0] : said.trim().split("\\s*,\\s*");
        int[] made = new int[parts.length];
        for (int at = 0; at < parts.length; at++) made[at] = Integer.parseInt(parts[at]);
        return made;
    }
}

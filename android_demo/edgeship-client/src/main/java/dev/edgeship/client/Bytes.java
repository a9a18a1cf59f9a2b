package dev.edgeship.client;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Bytes, their hexadecimal digits, and their SHA-256. */
final class Bytes {
    private static final String DIGITS = "0123456789abcdef";

    private Bytes() {}

    static byte[] encode(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Lowercase hexadecimal digits. */
    static String hex(byte[] bytes) {
        StringBuilder made = new StringBuilder(2 * bytes.length);
        for (byte each : bytes) made.append(DIGITS.charAt(each >> 4 & 15)).append(DIGITS.charAt(each & 15));
        return made.toString();
    }

    /** Inverse of {@link #hex}; null for what is none. */
    static byte[] unhex(String text) {
        if (text.length() % 2 != 0) return null;
        byte[] made = new byte[text.length() / 2];
        for (int at = 0; at < text.length(); at++) {
            int digit = DIGITS.indexOf(text.charAt(at));
            if (digit < 0) return null;
            made[at / 2] = (byte) (made[at / 2] << 4 | digit);
        }
        return made;
    }

    static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java and every Android has it
        }
    }

    /** SHA-256 as hexadecimal digits. */
    static String sha256(byte[] bytes) {
        return hex(digest().digest(bytes));
    }

    /** Whether bytes have the length and SHA-256 that were signed for them. */
    static boolean isFile(byte[] bytes, String sha256, long length) {
        return bytes.length == length && sha256(bytes).equals(sha256);
    }

    /** Whether a file is there and has the length and SHA-256 that were signed for it. */
    static boolean isFile(File file, String sha256, long length) {
        if (!file.isFile() || file.length() != length) return false;
        MessageDigest found = digest();
        try (InputStream from = new FileInputStream(file)) {
            byte[] piece = new byte[1 << 16];
            for (int count = from.read(piece); count >= 0; count = from.read(piece)) found.update(piece, 0, count);
        } catch (IOException error) {
            return false; // a file that cannot be read is as good as lost
        }
        return hex(found.digest()).equals(sha256);
    }
}

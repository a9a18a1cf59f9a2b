package dev.edgeship.client;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * JSON that may come from anywhere: UTF-8, at most 64 deep, no key twice in an object.
 *
 * <p>Values are {@code Map<String, Object>}, {@code List<Object>}, String, Boolean, null, Long for whole numbers without
 * point and exponent of at most 2^53 - 1, and Double for others.
 */
final class Json {
    static final long LARGEST = (1L << 53) - 1;
    private static final int DEEPEST = 64;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Reads a document; {@code what} it should have been is for the error. */
    static Object parse(byte[] bytes, String what) throws RefusedException {
        try {
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
            Json reader = new Json(text);
            Object value = reader.value(0);
            reader.blank();
            if (reader.at < text.length()) throw reader.broken("something is behind it");
            return value;
        } catch (CharacterCodingException error) {
            throw new RefusedException(what + " is no JSON: it is not UTF-8");
        } catch (NumberFormatException error) {
            throw new RefusedException(what + " is no JSON: " + error.getMessage());
        }
    }

    /** One kind of unchecked exception carries what is wrong out of the recursion; it never leaves this class. */
    private NumberFormatException broken(String why) {
        return new NumberFormatException(why + " at character " + at);
    }

    private void blank() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) at++;
    }

    private char next() {
        if (at >= text.length()) throw broken("it ends too early");
        return text.charAt(at++);
    }

    private boolean takes(char wanted) {
        blank();
        if (at >= text.length() || text.charAt(at) != wanted) return false;
        at++;
        return true;
    }

    private Object value(int depth) {
        if (depth > DEEPEST) throw broken("it is too deep");
        blank();
        char first = next();
        switch (first) {
            case '{': return object(depth);
            case '[': return array(depth);
            case '"': return string();
            case 't': return word("true", Boolean.TRUE);
            case 'f': return word("false", Boolean.FALSE);
            case 'n': return word("null", null);
            default: return number();
        }
    }

    private Object word(String wanted, Object value) {
        if (!text.startsWith(wanted, at - 1)) throw broken("no value");
        at += wanted.length() - 1;
        return value;
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> found = new LinkedHashMap<>();
        if (takes('}')) return found;
        do {
            if (!takes('"')) throw broken("no key");
            String key = string();
            if (found.containsKey(key)) throw broken("a key is there twice");
            if (!takes(':')) throw broken("no colon");
            found.put(key, value(depth + 1));
        } while (takes(','));
        if (!takes('}')) throw broken("an object does not end");
        return found;
    }

    private List<Object> array(int depth) {
        List<Object> found = new ArrayList<>();
        if (takes(']')) return found;
        do found.add(value(depth + 1));
        while (takes(','));
        if (!takes(']')) throw broken("a list does not end");
        return found;
    }

    private String string() {
        StringBuilder found = new StringBuilder();
        for (char each = next(); each != '"'; each = next()) {
            if (each < ' ') throw broken("a control character");
            found.append(each == '\\' ? escaped() : each);
        }
        return found.toString();
    }

    private char escaped() {
        char kind = next();
        int known = "\"\\/bfnrt".indexOf(kind);
        if (known >= 0) return "\"\\/\b\f\n\r\t".charAt(known);
        if (kind != 'u' || at + 4 > text.length()) throw broken("an unknown escape");
        int code = 0;
        for (int end = at + 4; at < end; at++) {
            int digit = Character.digit(text.charAt(at), 16);
            if (digit < 0 || text.charAt(at) > 'f') throw broken("an unknown escape");
            code = 16 * code + digit;
        }
        return (char) code;
    }

    private Number number() {
        int start = --at;
        if (at < text.length() && text.charAt(at) == '-') at++;
        int digits = at;
        digits();
        if (text.charAt(digits) == '0' && at > digits + 1) throw broken("a number that begins with 0");
        int whole = at;
        if (at < text.length() && text.charAt(at) == '.') {
            at++;
            digits();
        }
        if (at < text.length() && (text.charAt(at) | 32) == 'e') {
            at++;
            if (at < text.length() && "+-".indexOf(text.charAt(at)) >= 0) at++;
            digits();
        }
        String found = text.substring(start, at);
        if (at == whole && found.length() <= 17) {
            long exact = Long.parseLong(found);
            if (Math.abs(exact) <= LARGEST) return exact;
        }
        return Double.valueOf(found);
    }

    private void digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') at++;
        if (at == start) throw broken("no value");
    }

    /**
     * The canonical JSON that TUF metadata are signed as (securesystemslib): keys in the order of their code points, no
     * spaces, only {@code "} and {@code \} escaped.
     *
     * @throws RefusedException for numbers that are not whole and exact, and texts that are no Unicode.
     */
    static byte[] canonical(Object value) throws RefusedException {
        StringBuilder made = new StringBuilder();
        write(value, made, true);
        return Bytes.encode(made.toString());
    }

    /** A document of ours; whole numbers only, keys in the order of a map. */
    static byte[] written(Object value) throws RefusedException {
        StringBuilder made = new StringBuilder();
        write(value, made, false);
        return Bytes.encode(made.toString());
    }

    private static void write(Object value, StringBuilder to, boolean canonical) throws RefusedException {
        if (value instanceof String) writeText((String) value, to, canonical);
        else if (value instanceof List) {
            String before = "[";
            for (Object each : (List<?>) value) {
                to.append(before);
                write(each, to, canonical);
                before = ",";
            }
            to.append(before.equals("[") ? "[]" : "]");
        } else if (value instanceof Map) {
            Map<String, Object> entries = canonical ? new TreeMap<>(Json::compare) : new LinkedHashMap<>();
            for (Map.Entry<?, ?> each : ((Map<?, ?>) value).entrySet()) entries.put((String) each.getKey(), each.getValue());
            String before = "{";
            for (Map.Entry<String, Object> each : entries.entrySet()) {
                writeText(each.getKey(), to.append(before), canonical);
                write(each.getValue(), to.append(':'), canonical);
                before = ",";
            }
            to.append(before.equals("{") ? "{}" : "}");
        } else if (value == null || value instanceof Boolean || value instanceof Long) to.append(value);
        else throw new RefusedException(value + " cannot be signed");
    }

    private static void writeText(String text, StringBuilder to, boolean canonical) throws RefusedException {
        to.append('"');
        for (int at = 0; at < text.length(); at++) {
            char each = text.charAt(at);
            if (Character.isHighSurrogate(each) && at + 1 < text.length() && Character.isLowSurrogate(text.charAt(at + 1))) {
                to.append(each).append(text.charAt(++at));
            } else if (Character.isSurrogate(each)) {
                throw new RefusedException("a text has half a character");
            } else if (!canonical && each < ' ') {
                to.append(String.format("\\u%04x", (int) each));
            } else {
                if (each == '"' || each == '\\') to.append('\\');
                to.append(each);
            }
        }
        to.append('"');
    }

    /** Java compares halves of characters; this compares characters. */
    private static int compare(String a, String b) {
        int at = 0;
        while (at < a.length() && at < b.length() && a.charAt(at) == b.charAt(at)) at++;
        if (at == a.length() || at == b.length()) return a.length() - b.length();
        char[] found = {a.charAt(at), b.charAt(at)};
        // A surrogate stands for a character beyond all others; two of the same kind compare as their characters do.
        boolean differ = Character.isSurrogate(found[0]) != Character.isSurrogate(found[1]);
        return differ ? (Character.isSurrogate(found[0]) ? 1 : -1) : found[0] - found[1];
    }
}

package dev.edgeship.demo.core;

import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Writes JSON, as {@code edgeship} reads it from the device. */
public final class Answer {
    private Answer() {}

    /**
     * @param value texts, numbers, truth values, null, lists and maps of them.
     * @throws IllegalArgumentException for anything else, or a number that JSON has not.
     */
    public static String json(Object value) {
        StringBuilder made = new StringBuilder();
        write(value, made);
        return made.toString();
    }

    private static void write(Object value, StringBuilder to) {
        if (value == null || value instanceof Boolean || value instanceof Integer || value instanceof Long) {
            to.append(value);
        } else if (value instanceof Double && !Double.isNaN((Double) value) && !Double.isInfinite((Double) value)) {
            to.append(value);
        } else if (value instanceof String) {
            writeText((String) value, to);
        } else if (value instanceof List) {
            String between = "[";
            for (Object each : (List<?>) value) {
                to.append(between);
                write(each, to);
                between = ",";
            }
            to.append(between.equals("[") ? "[]" : "]");
        } else if (value instanceof Map) {
            String between = "{";
            for (Map.Entry<?, ?> each : ((Map<?, ?>) value).entrySet()) {
                to.append(between);
                writeText((String) each.getKey(), to);
                to.append(':');
                write(each.getValue(), to);
                between = ",";
            }
            to.append(between.equals("{") ? "{}" : "}");
        } else {
            throw new IllegalArgumentException("JSON has no " + value);
        }
    }

    private static void writeText(String text, StringBuilder to) {
        to.append('"');
        for (int at = 0; at < text.length(); at++) {
            char each = text.charAt(at);
            if (each == '"' || each == '\\') to.append('\\').append(each);
            else if (each < ' ' || each > '~') to.append(String.format(Locale.ROOT, "\\u%04x", (int) each));
            else to.append(each);
        }
        to.append('"');
    }
}

package dev.edgeship.client;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/** A value from outside with its place, for errors; gives it its type, or refuses it. */
final class Node {
    private static final int LONGEST = 100_000;

    /** Reads a value. */
    interface Read<T> {
        T read(Node node) throws RefusedException;
    }

    final Object value;
    final String at;

    Node(Object value, String at) {
        this.value = value;
        this.at = at;
    }

    static Node parse(byte[] bytes, String what) throws RefusedException {
        return new Node(Json.parse(bytes, what), what);
    }

    /** The error for this value; {@code allowed} says what may be there. */
    RefusedException unfit(String allowed) {
        return new RefusedException(at + " must be " + allowed);
    }

    boolean isNull() {
        return value == null;
    }

    String text() throws RefusedException {
        return text(null, LONGEST);
    }

    String text(Pattern pattern) throws RefusedException {
        return text(pattern, LONGEST);
    }

    String text(Pattern pattern, int most) throws RefusedException {
        boolean fits = value instanceof String && ((String) value).length() <= most;
        if (fits && (pattern == null || pattern.matcher((String) value).matches())) return (String) value;
        throw unfit("a text" + (pattern == null ? "" : " like " + pattern) + ", at most " + most + " long");
    }

    String oneOf(String... allowed) throws RefusedException {
        if (value instanceof String && Arrays.asList(allowed).contains(value)) return (String) value;
        throw unfit(String.join(" or ", allowed));
    }

    boolean flag() throws RefusedException {
        if (value instanceof Boolean) return (Boolean) value;
        throw unfit("true or false");
    }

    double number(double least, double most) throws RefusedException {
        double found = value instanceof Number ? ((Number) value).doubleValue() : Double.NaN;
        if (found >= least && found <= most && !Double.isInfinite(found)) return found;
        throw unfit("a number from " + least + " to " + most);
    }

    long integer(long least, long most) throws RefusedException {
        if (value instanceof Long && (Long) value >= least && (Long) value <= most) return (Long) value;
        throw unfit("a whole number from " + least + " to " + most);
    }

    long integer(long least) throws RefusedException {
        return integer(least, Json.LARGEST);
    }

    <T> List<T> list(int least, int most, Read<T> read) throws RefusedException {
        if (!(value instanceof List) || ((List<?>) value).size() < least || ((List<?>) value).size() > most) {
            throw unfit("a list of " + least + " to " + most);
        }
        List<T> made = new ArrayList<>();
        for (Object each : (List<?>) value) made.add(read.read(new Node(each, at + "[" + made.size() + "]")));
        return Collections.unmodifiableList(made);
    }

    /** An object with keys of any name. */
    <T> Map<String, T> map(int most, Read<T> read) throws RefusedException {
        Map<String, Object> entries = entries();
        if (entries.size() > most) throw unfit("an object with at most " + most + " keys");
        Map<String, T> made = new LinkedHashMap<>();
        for (Map.Entry<String, Object> each : entries.entrySet()) made.put(each.getKey(), read.read(field(each.getKey())));
        return Collections.unmodifiableMap(made);
    }

    /** An object that has these fields and no others; itself. */
    Node closed(String... names) throws RefusedException {
        List<String> known = Arrays.asList(names);
        for (String name : entries().keySet()) {
            if (!known.contains(name)) throw unfit("without the unknown field " + cut(name));
        }
        for (String name : known) field(name);
        return this;
    }

    /** A field that must be there. */
    Node field(String name) throws RefusedException {
        if (entries().containsKey(name)) return new Node(entries().get(name), at + "." + cut(name));
        throw unfit("an object with " + name);
    }

    boolean has(String name) throws RefusedException {
        return entries().containsKey(name);
    }

    /** A field that may be null. */
    <T> T nullable(String name, Read<T> read) throws RefusedException {
        Node found = field(name);
        return found.isNull() ? null : read.read(found);
    }

    /** A field that may be missing. */
    <T> T optional(String name, Read<T> read) throws RefusedException {
        return has(name) ? read.read(field(name)) : null;
    }

    @SuppressWarnings("unchecked") // Json makes no other maps
    private Map<String, Object> entries() throws RefusedException {
        if (value instanceof Map) return (Map<String, Object>) value;
        throw unfit("an object");
    }

    private static String cut(String name) {
        return name.substring(0, Math.min(name.length(), 100));
    }
}

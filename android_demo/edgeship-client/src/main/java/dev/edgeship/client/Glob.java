package dev.edgeship.client;

/** Patterns of paths: {@code *}, {@code ?} and {@code [...]}, none of which stands for a slash. */
final class Glob {
    private Glob() {}

    /** Whether all of a path is what a pattern says; in time proportional to both lengths, whatever the pattern. */
    static boolean matches(String pattern, String path) {
        int at = 0;
        int in = 0;
        int star = -1;
        int resume = 0;
        while (at < path.length()) {
            int step = in < pattern.length() ? step(pattern, in, path.charAt(at)) : 0;
            if (in < pattern.length() && pattern.charAt(in) == '*') {
                star = in++;
                resume = at;
            } else if (step > 0) {
                in += step;
                at++;
            } else if (star >= 0 && path.charAt(resume) != '/') {
                in = star + 1;
                at = ++resume;
            } else {
                return false;
            }
        }
        while (in < pattern.length() && pattern.charAt(in) == '*') in++;
        return in == pattern.length();
    }

    /** Length of the part of the pattern that stands for this character; 0 where it does not. */
    private static int step(String pattern, int in, char found) {
        char wanted = pattern.charAt(in);
        if (wanted == '?') return found == '/' ? 0 : 1;
        int end = wanted == '[' ? end(pattern, in) : -1;
        if (end < 0) return wanted == found ? 1 : 0;
        return found != '/' && inSet(pattern, in + 1, end, found) ? end + 1 - in : 0;
    }

    /** Where a set ends; a bracket at its beginning belongs to it. -1: the bracket stands for itself. */
    private static int end(String pattern, int in) {
        int from = in + 1;
        if (from < pattern.length() && pattern.charAt(from) == '!') from++;
        if (from < pattern.length() && pattern.charAt(from) == ']') from++;
        int end = pattern.indexOf(']', from);
        int slash = pattern.indexOf('/', in);
        return end < 0 || (slash >= 0 && slash < end) ? -1 : end;
    }

    private static boolean inSet(String pattern, int from, int end, char found) {
        boolean not = pattern.charAt(from) == '!';
        boolean in = false;
        for (int at = not ? from + 1 : from; at < end; at++) {
            boolean range = at + 2 < end && pattern.charAt(at + 1) == '-';
            char last = pattern.charAt(range ? at + 2 : at);
            in |= pattern.charAt(at) <= found && found <= last;
            if (range) at += 2;
        }
        return in != not;
    }
}

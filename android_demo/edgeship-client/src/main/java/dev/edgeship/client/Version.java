package dev.edgeship.client;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Three plain numbers below 2^31, {@code 1.4.0}; ordered by them. */
final class Version implements Comparable<Version> {
    static final long LARGEST = Integer.MAX_VALUE;
    private static final String NUMBER = "(0|[1-9][0-9]{0,9})";
    private static final Pattern VERSION = Pattern.compile(NUMBER + "\\." + NUMBER + "\\." + NUMBER);

    final long major;
    final long minor;
    final long patch;

    Version(long major, long minor, long patch) {
        this.major = major;
        this.minor = minor;
        this.patch = patch;
    }

    static Version read(Node node) throws RefusedException {
        Matcher found = VERSION.matcher(node.text());
        long[] numbers = new long[3];
        boolean fits = found.matches();
        for (int at = 0; fits && at < 3; at++) {
            numbers[at] = Long.parseLong(found.group(at + 1));
            fits = numbers[at] <= LARGEST;
        }
        if (!fits) throw node.unfit("a version such as 1.4.0");
        return new Version(numbers[0], numbers[1], numbers[2]);
    }

    @Override
    public int compareTo(Version other) {
        int found = Long.compare(major, other.major);
        if (found == 0) found = Long.compare(minor, other.minor);
        return found == 0 ? Long.compare(patch, other.patch) : found;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Version && compareTo((Version) other) == 0;
    }

    @Override
    public int hashCode() {
        return toString().hashCode();
    }

    @Override
    public String toString() {
        return major + "." + minor + "." + patch;
    }
}

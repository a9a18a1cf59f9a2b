package dev.edgeship.client;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.Method;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import javax.tools.JavaCompiler;
import javax.tools.ToolProvider;

/** What stands against the attacks, and how to take it away: a change of the source, which is compiled anew. */
final class Guards {
    /** Name of a guard to changes: file, what is there, what is there without the guard. */
    static final Map<String, List<String[]>> ALL = new LinkedHashMap<>();

    private Guards() {}

    private static void guard(String name, String... changes) {
        List<String[]> made = new ArrayList<>();
        for (int at = 0; at < changes.length; at += 3) made.add(Arrays.copyOfRange(changes, at, at + 3));
        ALL.put(name, made);
    }

    static {
        guard("signatures", "Metadata", "by.size() < role.threshold", "false");
        guard("threshold", "Metadata", "by.size() < role.threshold", "by.isEmpty()");
        guard("next root",
                "Repository", "checkVersion(\"root\", found.version, root.version + 1);", "",
                "Repository", "Root found = ownRoot(bytes);", "Root found = Metadata.root(bytes).content;");
        guard("rollback",
                "Repository", "Timestamp before = kept(\"timestamp\", this::timestamp);", "Timestamp before = null;",
                "Repository", "Snapshot before = kept(\"snapshot\", this::snapshot);", "Snapshot before = null;");
        guard("versions that were seen", "Repository", "Seen.notBefore(seen, found);", "");
        guard("expiry", "Repository", "now < found.expires", "true");
        guard("hashes of metadata", "Metadata", "return (length < 0 ||", "return true || (length < 0 ||");
        guard("size of what comes", "Http", "at + count > wish.most", "false");
        guard("type of metadata", "Metadata", "!type.equals(kind)", "false");
        guard("parser", "Json", "if (reader.at < text.length())", "if (false)");
        guard("signed by targets itself", "Repository", "return targets.target(path);",
                "try { Target online = loadTargets(new Visit(\"rollout\", targets.keys, targets.roles.get(0))).target(path);"
                        + " return online != null ? online : targets.target(path);"
                        + " } catch (UpdateException error) { throw new IllegalStateException(error); }");
        guard("policy", "Policy", "return release.major == major", "return true || release.major == major");
        guard("one line", "Line", "if (found.major != major)", "if (false)");
        guard("content of files", "Bytes", "return hex(found.digest()).equals(sha256);", "return true;");
        guard("length and content of files",
                "Bytes", "return hex(found.digest()).equals(sha256);", "return true;",
                "Bytes", "if (!file.isFile() || file.length() != length) return false;", "if (!file.isFile()) return false;",
                "Download", "if (at < file.length)", "if (false)");
        guard("manifest of this release", "Fetching", "if (!fits ||", "if (false && !fits ||",
                "Fetching", "!of.version.toString().equals(found.version()) ||", "");
        guard("names in manifests", "Manifest", "[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*", ".*");
        guard("size of what a patch makes", "Delta", "if (size > min(limit, Integer.MAX_VALUE - 8))", "if (false)");
        guard("the stored file where a patch fails", "Fetching", "if (way.base == null || source.isEnded()) throw error;", "if (true) throw new RefusedException(error.getMessage());");
        guard("deadline",
                "Http", "(long) (wish.seconds * 1e9)", "(long) 1e11");
        guard("pages for people", "Http", "(status < 400 && isPage)", "false");
        guard("pages under another name", "Http", "if (isPage(made.toByteArray()))", "if (false)");
        guard("where redirects may lead", "Http", "if (secure ||", "if (true ||");
        guard("number of redirects", "Http", "redirects <= MOST_REDIRECTS", "redirects >= 0");
        guard("clock that is behind", "Repository", "if (now >= floor) return;", "if (true) return;");
        guard("moments are proven by signatures", "Repository", "Math.min(now, timestamp.expires - TIMESTAMP_LIFE)", "now");
        guard("self-test", "Update", "new SelfTest(options.runner, options.limits).check(release, runs == null ? null : runs.release);", "");
    }

    /** What comes of an attack in a world without these guards. */
    static String without(List<String> guards, String attack, Path folder) throws Exception {
        Path classes = Files.createDirectories(folder.resolve("classes"));
        compile(guards, folder, classes);
        List<URL> places = new ArrayList<>(Arrays.asList(classes.toUri().toURL()));
        for (Class<?> each : new Class<?>[] {Client.class, Guards.class}) {
            places.add(each.getProtectionDomain().getCodeSource().getLocation());
        }
        try (Own loader = new Own(places.toArray(new URL[0]))) {
            Class<?> attacks = loader.loadClass(Attacks.class.getName());
            Method run = attacks.getDeclaredMethod("run", String.class, String.class);
            run.setAccessible(true);
            return (String) run.invoke(null, attack, folder.resolve("device").toString());
        }
    }

    private static void compile(List<String> guards, Path folder, Path classes) throws IOException {
        Path sources = new File(System.getProperty("edgeship.sources", "src/main/java")).toPath().resolve("dev/edgeship/client");
        Map<String, String> changed = new LinkedHashMap<>();
        for (String guard : guards) {
            for (String[] change : ALL.get(guard)) {
                String file = change[0] + ".java";
                if (!changed.containsKey(file)) {
                    changed.put(file, new String(Files.readAllBytes(sources.resolve(file)), StandardCharsets.UTF_8));
                }
                String before = changed.get(file);
                String after = before.replace(change[1], change[2]);
                if (after.equals(before)) throw new IOException(file + " has no " + change[1]);
                changed.put(file, after);
            }
        }
        List<String> arguments = new ArrayList<>(Arrays.asList("-nowarn", "-proc:none", "-d", classes.toString(), "-cp", System.getProperty("java.class.path")));
        for (Map.Entry<String, String> each : changed.entrySet()) {
            Path file = folder.resolve(each.getKey());
            Files.write(file, each.getValue().getBytes(StandardCharsets.UTF_8));
            arguments.add(file.toString());
        }
        JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        int result = compiler.run(null, said, said, arguments.toArray(new String[0]));
        if (result != 0) throw new IOException(said.toString());
    }

    /** Loads the classes of this package itself, the changed ones first; all others come from where they always do. */
    private static final class Own extends URLClassLoader {
        Own(URL[] places) {
            super(places, Guards.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.startsWith("dev.edgeship.client.")) return super.loadClass(name, resolve);
            Class<?> found = findLoadedClass(name);
            return found == null ? findClass(name) : found;
        }
    }
}

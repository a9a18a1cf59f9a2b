package dev.edgeship.client;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The attacks of docs/updates/threats.md: what each does, what holds against it, and what would come of it without that. */
final class Attacks {
    /** What is done to a device that runs a release, before its next update. */
    interface Act {
        void on(Device device) throws Exception;
    }

    /** An attack. */
    static final class Attack {
        final String name;
        /** Vector that it begins with, which says what the device runs and is offered. */
        final String vector;
        final Act act;
        /** What the update says, and what the device serves then, as a regular expression. */
        final String holds;
        /** The same once the guards are gone. */
        final String without;
        final List<String> guards;

        private Attack(String name, String vector, Act act, String holds, String without, String... guards) {
            this.name = name;
            this.vector = vector;
            this.act = act;
            this.holds = holds;
            this.without = without;
            this.guards = Arrays.asList(guards);
        }
    }

    private static final String HONEST = "an update, with a patch";
    private static final byte[] PAGE = "<html><body>Welcome to our network</body></html>".getBytes(StandardCharsets.US_ASCII);
    private static final long DAY = 86_400_000;
    static final List<Attack> ALL = new ArrayList<>();

    private Attacks() {}

    private static void vector(String name, String holds, String without, String... guards) {
        ALL.add(new Attack(name, name, device -> {}, holds, without, guards));
    }

    private static void network(String name, Act act, String holds, String without, String... guards) {
        ALL.add(new Attack(name, HONEST, act, holds, without, guards));
    }

    private static Act answers(String ending, Server.Trick answer) {
        return device -> device.server.trick = (path, to) -> path.endsWith(ending) && answer.answer(path, to);
    }

    private static Act page(String type) {
        return answers(".json", (path, to) -> {
            Server.answer(to, "200 OK", "Content-Type: " + type + "\r\n", PAGE);
            return true;
        });
    }

    private static Act endless(String ending) {
        return answers(ending, (path, to) -> {
            Server.answer(to, "200 OK", "", new byte[8 << 20]);
            return true;
        });
    }

    /** The right answer, a little now and then; it would come to its end. */
    private static Act drips(String ending, boolean head) {
        return device -> {
            device.limits = new Limits().network(0.6, 1 << 30).selfTest(20, 1000).probation(0, 0, 3);
            device.server.trick = (path, to) -> {
                byte[] content = device.server.files.get(path);
                if (!path.endsWith(ending) || content == null) return false;
                String said = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + content.length + "\r\n\r\n";
                byte[] all = Arrays.copyOf(said.getBytes(StandardCharsets.US_ASCII), said.length() + content.length);
                System.arraycopy(content, 0, all, said.length(), content.length);
                int step = head ? 2 : 1 + content.length / 30;
                for (int at = head ? 0 : said.length(), from = 0; from < all.length; from = at, at += step) {
                    boolean rest = head && from > said.length();
                    to.write(all, from, (rest ? all.length : Math.min(all.length, at)) - from);
                    to.flush();
                    if (rest) return true;
                    Thread.sleep(50);
                }
                return true;
            };
        };
    }

    private static Act redirect(String to) {
        return device -> {
            device.limits = new Limits().network(2, 1 << 30);
            String target = to.replace("PORT", String.valueOf(device.server.port()));
            device.server.trick = (path, out) -> {
                if (path.equals("login.html")) Server.answer(out, "200 OK", "Content-Type: text/html\r\n", PAGE);
                else Server.answer(out, "302 Found", "Location: " + target + "\r\n", new byte[0]);
                return true;
            };
        };
    }

    static {
        String stays = ".* serves 1\\.0\\.0";
        String refused = "REFUSED: .*";
        String away = "UNAVAILABLE: .*";
        String updated = "UPDATED 1\\.1\\.0 .* serves 1\\.1\\.0";
        vector("root by 1 of 2 keys", refused + "signed by 1 .*2 are needed" + stays, updated, "threshold");
        vector("root that leaves out a version", refused + "root 2 says that it is version 7" + stays, updated, "next root");
        vector("root that its own keys do not sign", refused + "signed by 0 " + stays, updated, "next root");
        vector("stolen online keys: targets of their own", refused + "targets is signed by 0 " + stays, "UPDATED 1\\.9\\.0.*", "signatures");
        vector("timestamp by a wrong key", refused + "timestamp is signed by 0 " + stays, updated, "signatures");
        vector("key of rollout that was replaced", refused + "rollout is signed by 0 " + stays, "(UPDATED|CURRENT|KEPT).*", "signatures");
        vector("stolen online keys: a rollout of a release that only they signed", "KEPT" + stays, "UPDATED 1\\.9\\.0.*", "signed by targets itself");
        vector("stolen online keys: a rollout of a revoked version", "KEPT" + stays, updated, "policy");
        vector("stolen online keys: a rollout of a version below the floor", "KEPT.* serves 1\\.1\\.0", "UPDATED 1\\.0\\.0.*", "policy");
        vector("stolen online keys: a rollout of another line", refused + "version of the line v1" + stays, "KEPT.*", "one line");
        vector("stolen online keys: a policy signed by the key of rollout", "KEPT" + stays, updated, "signed by targets itself");
        vector("stolen timestamp key: an old snapshot", refused + "was seen already.* serves 1\\.1\\.0", "UPDATED 1\\.0\\.0.*", "rollback", "versions that were seen");
        vector("replay of an old repository", refused + "was seen already.* serves 1\\.1\\.0", "(UPDATED|CURRENT) 1\\.0\\.0.*", "rollback", "versions that were seen");
        vector("freeze: expired timestamp", refused + "timestamp expired" + stays, "(UPDATED|CURRENT).*", "expiry");
        vector("freeze: expired root", refused + "root expired" + stays, "(UPDATED|CURRENT).*", "expiry");
        vector("mix and match: new timestamp, old snapshot", refused + "not what was signed" + stays, "REFUSED: snapshot .* says that it is version.*", "hashes of metadata");
        vector("snapshot with bytes behind it", refused + stays, updated, "hashes of metadata", "size of what comes", "parser");
        vector("tampered timestamp", refused + "signed by 0 " + stays, "(REFUSED: (?!.*signed by)|UPDATED).*", "signatures");
        vector("timestamp with bytes behind it", refused + "no JSON" + stays, updated, "parser");
        vector("metadata of another role under a name", refused + "is snapshot, not timestamp" + stays, "REFUSED: (?!.*is snapshot, not).*", "type of metadata");
        vector("model tampered", "KEPT.*not the file that was signed.*" + stays, updated, "content of files");
        vector("model with bytes behind it", "KEPT.*has more than.*" + stays, "KEPT.*not the file that was signed.*|UPDATED.*", "size of what comes");
        vector("model cut off", "(KEPT|UNAVAILABLE).*(ended after|not the file).*" + stays, "UPDATED.*", "length and content of files");
        vector("patch that is damaged", updated, "KEPT" + stays, "the stored file where a patch fails");
        vector("patch that is for another file", updated, "KEPT" + stays, "the stored file where a patch fails");
        vector("patch that is a bomb", updated, "KEPT.*another file" + stays, "size of what a patch makes", "the stored file where a patch fails");
        vector("patch that makes another file", updated, "KEPT.*another file.*", "the stored file where a patch fails");
        vector("manifest of another version", "KEPT.*is the manifest of.*" + stays, "UPDATED 1\\.2\\.0.*", "manifest of this release");
        vector("manifest of another model", "KEPT.*is the manifest of.*" + stays, "UPDATED 1\\.2\\.0.*", "manifest of this release");
        vector("manifest with a file outside of its folder", "KEPT.*must be a text.*" + stays, "UNAVAILABLE: .*/%2E%2E/.*" + stays, "names in manifests");
        network("timestamp without end", endless("timestamp.json"), refused + "has more than the 16384" + stays, "REFUSED: .*no JSON.*", "size of what comes");
        network("root without end", endless("2.root.json"), refused + "has more than the 512000" + stays, "REFUSED: .*no JSON.*", "size of what comes");
        network("file without end", endless(".manifest.json"), "KEPT.*has more than the.*" + stays, "KEPT.*not the file that was signed.*", "size of what comes");
        network("timestamp that comes drop by drop", drips("timestamp.json", false), away + "answers too slowly" + stays, updated, "deadline");
        network("head of an answer that comes drop by drop", drips("timestamp.json", true), away + "answers too slowly" + stays, updated, "deadline");
        network("file that comes drop by drop", drips(".manifest.json", false), away + "answers too slowly" + stays, updated, "deadline");
        network("login page", page("text/html; charset=utf-8"), away + "web page" + stays, "REFUSED: .*no JSON.*", "pages for people", "pages under another name");
        network("login page that says it is JSON", page("application/json"), away + "web page" + stays, "REFUSED: .*no JSON.*", "pages under another name");
        network("redirect to a login page of another host", redirect("http://localhost:PORT/login.html"), away + "web page" + stays, "REFUSED: .*no JSON.*", "pages for people", "pages under another name");
        network("redirect out of the web", redirect("file:///etc/passwd"), away + "leads to file:///etc/passwd" + stays, "(?!UNAVAILABLE: \\S+ leads to).*", "where redirects may lead");
        network("redirects without end", redirect("http://127.0.0.1:PORT/again.json"), away + "leads on and on" + stays, away + "too slowly.*", "number of redirects");
        network("clock at 1970", device -> device.now = 0, away + "the clock says 1970-01-01" + stays, updated, "clock that is behind");
        network("clock that fell back", device -> device.now -= 5 * DAY, away + "has passed already" + stays, updated, "clock that is behind");
        network("clock at 2040", device -> device.now = 2_208_988_800_000L, refused + "expired" + stays, updated, "expiry");
        network("clock that was a day ahead, and is right again", device -> {
            device.now += DAY - DAY / 24;
            device.client().check();
            device.now -= DAY - DAY / 24;
        }, updated, away + "has passed already" + stays, "moments are proven by signatures");
        network("model that fails its self-test", device -> device.runner = (model, manifest) -> {
            throw new IllegalStateException("it is no model");
        }, "KEPT.*it is no model.*" + stays, updated, "self-test");
        network("model that never ends", device -> {
            device.limits = new Limits().network(5, 1).selfTest(0.3, 1000).probation(0, 0, 3);
            device.runner = (model, manifest) -> {
                Thread.sleep(60_000);
                return null;
            };
        }, "KEPT.*does not end within.*" + stays, updated, "self-test");
    }

    /** What comes of an attack; called in a world with or without guards. */
    static String run(String name, String folder) throws Exception {
        Vectors.Repositories all = new Vectors.Repositories();
        for (Attack each : ALL) {
            if (!each.name.equals(name)) continue;
            try (Server server = new Server(); Device device = new Device(server, all, all.named(each.vector), new File(folder))) {
                device.enrol();
                device.offered();
                each.act.on(device);
                String result = device.attempt();
                server.trick = (path, to) -> false;
                return result + " serves " + device.serves();
            }
        }
        throw new IllegalArgumentException(name);
    }
}

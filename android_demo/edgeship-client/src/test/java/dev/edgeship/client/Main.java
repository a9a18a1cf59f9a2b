package dev.edgeship.client;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;

/**
 * A client that is told what to do line by line: a command, address, file of the root, folder, moment, seconds of patience
 * and least rate, with tabs between. It answers each line with one (tests/e2e/test_jvm_client.py).
 */
final class Main {
    private static final String LINE = "points/v1";

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        BufferedReader from = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = from.readLine(); line != null; line = from.readLine()) {
            System.out.println(answer(line.split("\t")).replace('\n', ' '));
            System.out.flush();
        }
    }

    private static String answer(String[] told) throws Exception {
        long now = Long.parseLong(told[4]);
        Limits limits = new Limits()
                .network(Double.parseDouble(told[5]), Long.parseLong(told[6]))
                .selfTest(20, 1000)
                .probation(0, 0, 3);
        byte[] root = Files.readAllBytes(new File(told[2]).toPath());
        Options options = new Options(told[1], root, LINE, new File(told[3]), new TinyRunner());
        Client client = new Client(options.variants("tflite-float32").limits(limits).clock(() -> now));
        try {
            switch (told[0]) {
                case "update": return said(client.update((phase, loaded, total) -> {}));
                case "check": return said(client.check());
                case "rollback": return "ROLLED_BACK " + client.rollBack("by hand").version();
                default: return model(client.active());
            }
        } catch (UpdateException error) {
            return error.code() + " " + error.getMessage() + " | " + error.remedy();
        }
    }

    private static String said(Outcome outcome) {
        return outcome.result() + " " + outcome.version() + " " + outcome.bytes() + " " + outcome.refused();
    }

    private static String model(Release release) {
        return release == null ? "NONE" : release.version() + "\t" + release.model();
    }
}

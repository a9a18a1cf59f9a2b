package dev.edgeship.demo;

import android.content.Context;
import android.content.pm.ApplicationInfo;
import android.content.res.AssetManager;
import android.os.Build;
import dev.edgeship.client.Client;
import dev.edgeship.client.Limits;
import dev.edgeship.client.Options;
import dev.edgeship.client.UpdateException;
import dev.edgeship.client.Unsigned;
import dev.edgeship.demo.core.Desk;
import dev.edgeship.demo.core.Engine;
import dev.edgeship.demo.core.EngineRunner;
import dev.edgeship.demo.core.Predictor;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;

/** The model of this application: whom it believes, where it lies, what runs it. Made and used on {@link Work}'s threads. */
final class Models {
    /** Files of the build: {@code root.json}, {@code settings.properties}, and the first release in {@code release}. */
    private static final String ASSETS = "edgeship";

    private static Models only;

    /** Of the application, for whoever must not hold a screen. */
    final Context app;
    final Desk desk;
    final Predictor predictor;
    final String line;

    /** The only one of this process. Throws what reading the build's own files says. */
    static synchronized Models of(Context context) throws IOException, UpdateException {
        if (only == null) only = new Models(context.getApplicationContext());
        return only;
    }

    private Models(Context app) throws IOException, UpdateException {
        this.app = app;
        AssetManager assets = app.getAssets();
        Properties settings = new Properties();
        settings.load(new StringReader(new String(content(assets, "settings.properties"), StandardCharsets.UTF_8)));
        line = settings.getProperty("line", "");
        File folder = new File(app.getNoBackupFilesDir(), "edgeship");
        Engine engine = new TfliteEngine();
        EngineRunner runner = new EngineRunner(engine);
        Client client = new Client(new Options(
                settings.getProperty("repository", ""), content(assets, "root.json"), line, new File(folder, "client"), runner));
        Unsigned unsigned = new Unsigned(new File(folder, "unsigned"), runner, new Limits());
        desk = new Desk(client, unsigned, engine, facts(app, engine, line), isForDevelopers(app), new File(folder, "origin"));
        predictor = new Predictor(desk, client, runner);
        adopt(client, assets);
    }

    /** Whether developers may bring what nobody signed: in builds that a debugger may enter, which no store takes. */
    static boolean isForDevelopers(Context app) {
        return (app.getApplicationInfo().flags & ApplicationInfo.FLAG_DEBUGGABLE) != 0;
    }

    private void adopt(Client client, AssetManager assets) throws UpdateException, IOException {
        if (client.status().active() != null) return;
        Map<String, byte[]> files = new HashMap<>();
        collect(assets, "release", files);
        byte[] manifest = files.remove("release/manifest.json");
        if (manifest == null) return; // the first update brings one
        Map<String, byte[]> named = new HashMap<>();
        for (Map.Entry<String, byte[]> each : files.entrySet()) named.put(each.getKey().substring("release/".length()), each.getValue());
        if (client.adopt(manifest, named)) desk.remember(client.status().active(), Desk.Origin.APP);
    }

    private static void collect(AssetManager assets, String folder, Map<String, byte[]> to) throws IOException {
        for (String name : assets.list(ASSETS + "/" + folder)) {
            String path = folder + "/" + name;
            try {
                to.put(path, content(assets, path));
            } catch (FileNotFoundException error) { // a folder
                collect(assets, path, to);
            }
        }
    }

    private static byte[] content(AssetManager assets, String name) throws IOException {
        try (InputStream from = assets.open(ASSETS + "/" + name)) {
            ByteArrayOutputStream made = new ByteArrayOutputStream();
            byte[] piece = new byte[1 << 16];
            for (int count = from.read(piece); count >= 0; count = from.read(piece)) made.write(piece, 0, count);
            return made.toByteArray();
        }
    }

    private static Map<String, Object> facts(Context app, Engine engine, String line) {
        Map<String, Object> made = new LinkedHashMap<>();
        made.put("package", app.getPackageName());
        made.put("line", line);
        made.put("runtime", engine.name());
        made.put("api", Build.VERSION.SDK_INT);
        return made;
    }
}

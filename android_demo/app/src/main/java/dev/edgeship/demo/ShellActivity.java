package dev.edgeship.demo;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.util.Log;
import android.view.WindowManager;
import android.widget.TextView;
import dev.edgeship.demo.core.Asked;
import java.io.File;
import java.util.HashMap;
import java.util.Map;

/**
 * Does what {@code edgeship} on a computer asks for over adb, and answers in a file. Only who has the permission DUMP can
 * start it, which the shell has and no application from a store gets. An activity and no receiver: what a receiver does is
 * ended after ten seconds, and an application on the screen has the processor's fast cores.
 */
public final class ShellActivity extends Activity {
    private static final String[] WORDS = {
        "command", "id", "file", "model", "inputs", "shapes", "runs", "seconds", "warmup", "threads"
    };

    private Work.Ticket ticket;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.activity_shell);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        if (saved == null) begin(getIntent());
        else finish(); // it was asked once, and the answer comes whatever becomes of the screen
    }

    private void begin(Intent intent) {
        Map<String, String> words = new HashMap<>();
        for (String name : WORDS) {
            String found = intent.getStringExtra(name);
            if (found != null) words.put(name, found);
        }
        TextView said = findViewById(R.id.said);
        said.setText(getString(R.string.shell_does, String.valueOf(words.get("command"))));
        ticket = Work.change(this, models -> {
            File folder = Files.shared(models.app);
            if ("benchmark".equals(words.get("command"))) models.predictor.close(); // its memory is not measured
            models.desk.answer(new Asked(words, folder));
            return null;
        }, (none, error) -> {
            if (error != null) Log.w("edgeship", "no answer can be given", error);
            finish();
        });
    }

    @Override
    protected void onDestroy() {
        if (ticket != null) ticket.drop();
        super.onDestroy();
    }
}

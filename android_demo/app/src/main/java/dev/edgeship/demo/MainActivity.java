package dev.edgeship.demo;

import android.app.Activity;
import android.app.AlertDialog;
import android.content.ActivityNotFoundException;
import android.content.Context;
import android.content.Intent;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.view.View;
import android.widget.ImageView;
import android.widget.ProgressBar;
import android.widget.TextView;
import dev.edgeship.client.UpdateException;
import dev.edgeship.demo.core.Predictor;
import java.io.File;
import java.io.IOException;

/** The model and what it says about a picture; updates, files and the way back. */
public final class MainActivity extends Activity {
    private static final int PICTURE = 1;
    private static final int PACKET = 2;
    private static final String SHOWN = "picture";
    private static final String OFFERED = "offered";
    /** What {@code adb push} brings is looked for under this name. */
    private static final String PUSHED = "sideload.zip";

    private final Changes.Screen screen = this::render;
    private Work.Ticket ticket;
    private Uri picture;
    /** A file of another application, until a person has said what becomes of it. */
    private Uri offered;
    private AlertDialog question;

    /** A picture, and what the model says about it or why it says nothing. */
    private static final class Looked {
        final Bitmap picture;
        final Predictor.Prediction found;
        final Exception error;

        Looked(Bitmap picture, Predictor.Prediction found, Exception error) {
            this.picture = picture;
            this.found = found;
            this.error = error;
        }
    }

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.activity_main);
        findViewById(R.id.pick).setOnClickListener(view -> pick("image/*", PICTURE));
        findViewById(R.id.camera).setOnClickListener(view -> startActivity(new Intent(this, CameraActivity.class)));
        findViewById(R.id.update).setOnClickListener(view -> update());
        findViewById(R.id.install).setOnClickListener(view -> pick("application/zip", PACKET));
        findViewById(R.id.back).setOnClickListener(view -> back());
        findViewById(R.id.cancel).setOnClickListener(view -> Changes.cancel(this));
        if (saved != null) {
            show(uri(saved.getString(SHOWN)));
            offered = uri(saved.getString(OFFERED));
        } else if (Intent.ACTION_VIEW.equals(getIntent().getAction())) {
            offered = getIntent().getData();
        } else {
            pushed();
        }
        if (offered != null) ask();
    }

    @Override
    protected void onResume() {
        super.onResume();
        Changes.watch(this, screen);
    }

    @Override
    protected void onPause() {
        Changes.leave(screen);
        super.onPause();
    }

    @Override
    protected void onSaveInstanceState(Bundle to) {
        super.onSaveInstanceState(to);
        if (picture != null) to.putString(SHOWN, picture.toString());
        if (offered != null) to.putString(OFFERED, offered.toString());
    }

    @Override
    protected void onDestroy() {
        if (ticket != null) ticket.drop();
        if (question != null) question.dismiss();
        super.onDestroy();
    }

    private static Uri uri(String kept) {
        return kept == null ? null : Uri.parse(kept);
    }

    private void pick(String type, int what) {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type);
        try {
            startActivityForResult(intent, what);
        } catch (ActivityNotFoundException error) {
            Changes.say(getString(R.string.no_picker));
        }
    }

    @Override
    protected void onActivityResult(int what, int result, Intent data) {
        super.onActivityResult(what, result, data);
        if (result != RESULT_OK || data == null || data.getData() == null) return;
        if (what == PICTURE) show(data.getData());
        else install(data.getData());
    }

    /** Shows a picture and what the model says about it. */
    private void show(Uri from) {
        if (from == null) return;
        if (ticket != null) ticket.drop();
        picture = from;
        text(R.id.scores).setText(R.string.scores_wait);
        ticket = Work.start(this, models -> look(models, from), (looked, error) -> {
            if (looked != null) this.<ImageView>findViewById(R.id.picture).setImageBitmap(looked.picture);
            boolean good = looked != null && looked.found != null;
            Throwable why = looked == null ? error : looked.error;
            text(R.id.scores).setText(good ? Words.scores(this, looked.found) : Words.error(this, why));
        });
    }

    private static Looked look(Models models, Uri from) throws IOException {
        Bitmap read = Files.picture(models.app, from);
        try {
            return new Looked(read, models.predictor.predict(Files.pixels(read), read.getWidth(), 3), null);
        } catch (Exception error) {
            return new Looked(read, null, error);
        }
    }

    private void update() {
        Changes.start(this, R.string.state_looking, models -> Words.outcome(models.app, models.desk.update(Changes.PROGRESS)));
    }

    /** Any application may offer a file; the person decides. */
    private void ask() {
        question = new AlertDialog.Builder(this)
                .setMessage(R.string.offer)
                .setPositiveButton(R.string.install, (dialog, which) -> install(offered))
                .setNegativeButton(R.string.refuse, null)
                .setOnDismissListener(dialog -> offered = null)
                .show();
    }

    /** Takes a file that a person chose. */
    private void install(Uri from) {
        Changes.start(this, R.string.state_installing, models -> taken(models, Files.copied(models.app, from)));
    }

    /** Takes what {@code adb push} brought, once. */
    private void pushed() {
        Context app = getApplicationContext();
        Work.start(app, models -> new File(Files.shared(models.app), PUSHED), (file, error) -> {
            if (file == null || !file.isFile()) return;
            Changes.start(app, R.string.state_installing, models -> taken(models, file));
        });
    }

    private static String taken(Models models, File file) throws UpdateException {
        try {
            return Words.outcome(models.app, models.desk.install(file, Changes.PROGRESS));
        } finally {
            file.delete();
        }
    }

    private void back() {
        Changes.start(this, R.string.state_going_back, models ->
                models.app.getString(R.string.state_back, String.valueOf(models.desk.rollBack("by hand"))));
    }

    private void render() {
        boolean busy = Changes.isBusy();
        say(R.id.model, Changes.model());
        say(R.id.state, Changes.state());
        ProgressBar bar = findViewById(R.id.progress);
        bar.setVisibility(busy ? View.VISIBLE : View.INVISIBLE);
        bar.setIndeterminate(Changes.percent() < 0);
        bar.setProgress(Math.max(0, Changes.percent()));
        findViewById(R.id.cancel).setVisibility(busy ? View.VISIBLE : View.GONE);
        findViewById(R.id.update).setEnabled(!busy);
        findViewById(R.id.install).setEnabled(!busy);
        findViewById(R.id.back).setEnabled(!busy && Changes.canGoBack());
    }

    /** What is said already is not said again: a screen reader reads each change out. */
    private void say(int id, String what) {
        if (what != null && !what.contentEquals(text(id).getText())) text(id).setText(what);
    }

    private TextView text(int id) {
        return findViewById(id);
    }
}

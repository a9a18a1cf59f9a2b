package dev.edgeship.demo;

import android.app.Activity;
import android.content.ActivityNotFoundException;
import android.content.Intent;
import android.graphics.Bitmap;
import android.net.Uri;
import android.os.Bundle;
import android.text.TextUtils;
import android.view.View;
import android.widget.ImageView;
import android.widget.TextView;
import dev.edgeship.client.Outcome;
import dev.edgeship.client.Release;
import dev.edgeship.client.UpdateException;
import dev.edgeship.demo.core.Predictor;
import java.io.File;
import java.util.ArrayList;
import java.util.List;

/** The model and what it says about a picture; updates, files and the way back. */
public final class MainActivity extends Activity {
    private static final int PICTURE = 1;
    private static final int PACKET = 2;
    private static final String SHOWN = "picture";
    /** What {@code adb push} brings is looked for under this name. */
    private static final String PUSHED = "sideload.zip";

    private final List<Work.Ticket> tickets = new ArrayList<>();
    private Uri picture;

    /** What there is to say about the model. */
    private static final class Said {
        final String model;
        final String state;

        Said(String model, String state) {
            this.model = model;
            this.state = state;
        }
    }

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.activity_main);
        findViewById(R.id.pick).setOnClickListener(view -> pick("image/*", PICTURE));
        findViewById(R.id.camera).setOnClickListener(view -> startActivity(new Intent(this, CameraActivity.class)));
        findViewById(R.id.update).setOnClickListener(view -> change(R.string.state_looking, models -> models.desk.update((phase, done, all) -> {})));
        findViewById(R.id.install).setOnClickListener(view -> pick("application/zip", PACKET));
        findViewById(R.id.back).setOnClickListener(view -> back());
        if (saved != null) show(saved.getString(SHOWN) == null ? null : Uri.parse(saved.getString(SHOWN)));
        else if (Intent.ACTION_VIEW.equals(getIntent().getAction()) && getIntent().getData() != null) install(getIntent().getData());
        else pushed();
    }

    @Override
    protected void onResume() {
        super.onResume();
        told(R.string.state_ready, null, models -> null);
    }

    @Override
    protected void onSaveInstanceState(Bundle to) {
        super.onSaveInstanceState(to);
        if (picture != null) to.putString(SHOWN, picture.toString());
    }

    @Override
    protected void onDestroy() {
        for (Work.Ticket each : tickets) each.drop();
        super.onDestroy();
    }

    private <T> void start(Work.Job<T> job, Work.Then<T> then) {
        tickets.add(Work.start(this, job, then));
    }

    private void pick(String type, int what) {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(type);
        try {
            startActivityForResult(intent, what);
        } catch (ActivityNotFoundException error) {
            text(R.id.state).setText(R.string.no_picker);
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
        picture = from;
        text(R.id.scores).setText(R.string.scores_wait);
        start(models -> {
            Bitmap read = Files.picture(getApplicationContext(), from);
            try {
                return new Object[] {read, models.predictor.predict(Files.pixels(read), read.getWidth(), 3)};
            } catch (Exception error) {
                return new Object[] {read, error};
            }
        }, (found, error) -> {
            if (found != null) this.<ImageView>findViewById(R.id.picture).setImageBitmap((Bitmap) found[0]);
            boolean good = found != null && found[1] instanceof Predictor.Prediction;
            Throwable why = error != null || good ? error : (Throwable) found[1];
            text(R.id.scores).setText(good ? Words.scores(this, (Predictor.Prediction) found[1]) : Words.error(this, why));
        });
    }

    /** Takes a file that a person chose, or that another application gave. */
    private void install(Uri from) {
        change(R.string.state_installing, models -> {
            File file = Files.copied(getApplicationContext(), from);
            try {
                return models.desk.install(file, (phase, done, all) -> {});
            } finally {
                file.delete();
            }
        });
    }

    /** Takes what {@code adb push} brought, once. */
    private void pushed() {
        start(models -> new File(Files.shared(getApplicationContext()), PUSHED).isFile(), (there, error) -> {
            if (there == null || !there) return;
            change(R.string.state_installing, models -> {
                File file = new File(Files.shared(getApplicationContext()), PUSHED);
                try {
                    return models.desk.install(file, (phase, done, all) -> {});
                } finally {
                    file.delete();
                }
            });
        });
    }

    private void back() {
        told(R.string.state_going_back, null, models -> {
            models.predictor.close();
            return getApplicationContext().getString(R.string.state_back, String.valueOf(models.desk.rollBack("by hand")));
        });
    }

    private void change(int meanwhile, Work.Job<Outcome> job) {
        told(meanwhile, null, models -> {
            models.predictor.close();
            return Words.outcome(getApplicationContext(), job.run(models));
        });
    }

    /** Does something with the model, and says what came of it and what there is now. */
    private void told(int meanwhile, String none, Work.Job<String> job) {
        if (meanwhile != R.string.state_ready) busy(true, getString(meanwhile));
        start(models -> {
            String said = none;
            try {
                said = job.run(models);
            } catch (UpdateException error) {
                said = Words.error(getApplicationContext(), error);
            }
            Release release = models.desk.runs();
            return new Said(Words.model(getApplicationContext(), release, models.desk, models.line), said);
        }, (said, error) -> {
            busy(false, error != null ? Words.error(this, error) : said.state);
            if (error == null) text(R.id.model).setText(said.model);
        });
    }

    private void busy(boolean works, String said) {
        findViewById(R.id.progress).setVisibility(works ? View.VISIBLE : View.INVISIBLE);
        for (int id : new int[] {R.id.update, R.id.install, R.id.back}) findViewById(id).setEnabled(!works);
        if (!TextUtils.isEmpty(said)) text(R.id.state).setText(said);
    }

    private TextView text(int id) {
        return findViewById(id);
    }
}

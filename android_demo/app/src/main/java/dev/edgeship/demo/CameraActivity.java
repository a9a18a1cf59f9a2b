package dev.edgeship.demo;

import android.Manifest;
import android.app.Activity;
import android.content.pm.PackageManager;
import android.graphics.Bitmap;
import android.graphics.SurfaceTexture;
import android.os.Bundle;
import android.view.TextureView;
import android.widget.TextView;

/** What the camera sees, and what the model says about it. The camera is open only while this is on the screen. */
public final class CameraActivity extends Activity implements TextureView.SurfaceTextureListener {
    private static final int ASKED = 1;

    private TextureView view;
    private TextView scores;
    private Camera camera;
    private Work.Ticket ticket;
    private boolean asked;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        setContentView(R.layout.activity_camera);
        view = findViewById(R.id.preview);
        scores = findViewById(R.id.scores);
        camera = new Camera(getApplicationContext(), view, why -> scores.setText(getString(R.string.failed, why)));
        findViewById(R.id.classify).setOnClickListener(pressed -> classify());
        asked = saved != null && saved.getBoolean("asked");
        view.setSurfaceTextureListener(this);
    }

    @Override
    protected void onSaveInstanceState(Bundle to) {
        super.onSaveInstanceState(to);
        to.putBoolean("asked", asked);
    }

    @Override
    protected void onResume() {
        super.onResume();
        open();
    }

    @Override
    protected void onPause() {
        camera.close();
        super.onPause();
    }

    @Override
    protected void onDestroy() {
        if (ticket != null) ticket.drop();
        super.onDestroy();
    }

    private void open() {
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            camera.open();
        } else if (!asked) { // once; who said no is not asked again until this is opened again
            asked = true;
            requestPermissions(new String[] {Manifest.permission.CAMERA}, ASKED);
        } else {
            scores.setText(R.string.camera_denied);
        }
    }

    @Override
    public void onRequestPermissionsResult(int what, String[] permissions, int[] results) {
        super.onRequestPermissionsResult(what, permissions, results);
        if (results.length > 0 && results[0] != PackageManager.PERMISSION_GRANTED) scores.setText(R.string.camera_denied);
    }

    private void classify() {
        if (ticket != null) ticket.drop();
        Bitmap seen = camera.seen();
        if (seen == null) return;
        scores.setText(R.string.scores_wait);
        int width = seen.getWidth();
        int[] pixels = Files.pixels(seen);
        seen.recycle();
        ticket = Work.start(this, models -> models.predictor.predict(pixels, width, 3), (found, error) ->
                scores.setText(error == null ? Words.scores(this, found) : Words.error(this, error)));
    }

    @Override
    public void onSurfaceTextureAvailable(SurfaceTexture surface, int width, int height) {
        open();
    }

    @Override
    public void onSurfaceTextureSizeChanged(SurfaceTexture surface, int width, int height) {
        camera.close();
        open();
    }

    @Override
    public boolean onSurfaceTextureDestroyed(SurfaceTexture surface) {
        camera.close();
        return true;
    }

    @Override
    public void onSurfaceTextureUpdated(SurfaceTexture surface) {}
}

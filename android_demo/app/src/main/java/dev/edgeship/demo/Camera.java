package dev.edgeship.demo;

import android.annotation.SuppressLint;
import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Matrix;
import android.graphics.Paint;
import android.graphics.SurfaceTexture;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.os.Handler;
import android.os.Looper;
import android.util.Size;
import android.view.Surface;
import android.view.TextureView;
import java.util.Collections;

/**
 * The camera on the back in a view, from {@link #open} to {@link #close}. All calls are of the main thread, and so are the
 * camera's. Whatever comes late, of an opening that was closed meanwhile, closes its own device and changes nothing.
 */
final class Camera {
    /** Told once, on the main thread. */
    interface Failed {
        void failed(String why);
    }

    private static final int MOST_SIDE = 1280;

    private final CameraManager manager;
    private final TextureView view;
    private final Failed failed;
    private final Handler main = new Handler(Looper.getMainLooper());
    private boolean wanted;
    /** Grows with each opening and closing, so that what comes late knows that it does. */
    private int opening;
    private CameraDevice device;
    private Surface surface;

    Camera(Context context, TextureView view, Failed failed) {
        manager = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
        this.view = view;
        this.failed = failed;
    }

    /** Shows what it sees; the view's surface and the permission must be there. */
    @SuppressLint("MissingPermission") // whoever calls this has asked for it
    void open() {
        if (wanted || !view.isAvailable()) return;
        wanted = true;
        int mine = ++opening;
        try {
            String id = chosen();
            CameraCharacteristics of = manager.getCameraCharacteristics(id);
            Size size = size(of);
            fit(size, of.get(CameraCharacteristics.SENSOR_ORIENTATION), view.getDisplay().getRotation());
            manager.openCamera(id, new CameraDevice.StateCallback() {
                @Override
                public void onOpened(CameraDevice opened) {
                    if (mine != opening) {
                        opened.close();
                        return;
                    }
                    device = opened;
                    show(opened, size);
                }

                @Override
                public void onDisconnected(CameraDevice lost) {
                    lost.close();
                    if (mine == opening) fail("another application took the camera");
                }

                @Override
                public void onError(CameraDevice lost, int error) {
                    lost.close();
                    if (mine == opening) fail("the camera failed: " + error);
                }
            }, main);
        } catch (CameraAccessException | RuntimeException error) { // some cameras throw others
            fail(String.valueOf(error.getMessage()));
        }
    }

    /** Lets go of the camera; safe at any time. */
    void close() {
        wanted = false;
        opening++;
        if (device != null) device.close();
        if (surface != null) surface.release();
        device = null;
        surface = null;
    }

    private void fail(String why) {
        close();
        failed.failed(why);
    }

    /** What the view shows, as it shows it: its own copy is stretched to the view, and not turned. */
    Bitmap seen() {
        Bitmap stretched = view.isAvailable() ? view.getBitmap() : null;
        if (stretched == null) return null;
        Bitmap made = Bitmap.createBitmap(stretched.getWidth(), stretched.getHeight(), Bitmap.Config.ARGB_8888);
        new Canvas(made).drawBitmap(stretched, view.getTransform(null), new Paint(Paint.FILTER_BITMAP_FLAG));
        stretched.recycle();
        return made;
    }

    private String chosen() throws CameraAccessException {
        String[] all = manager.getCameraIdList();
        if (all.length == 0) throw new IllegalStateException("there is no camera");
        for (String id : all) {
            Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
            if (facing != null && facing == CameraCharacteristics.LENS_FACING_BACK) return id;
        }
        return all[0];
    }

    /** The largest preview whose sides are at most 1280. */
    private static Size size(CameraCharacteristics of) {
        StreamConfigurationMap map = of.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
        Size best = null;
        for (Size each : map.getOutputSizes(SurfaceTexture.class)) {
            boolean fits = Math.max(each.getWidth(), each.getHeight()) <= MOST_SIDE;
            if (fits && (best == null || each.getWidth() * each.getHeight() > best.getWidth() * best.getHeight())) best = each;
        }
        if (best == null) throw new IllegalStateException("the camera has no preview of " + MOST_SIDE);
        return best;
    }

    /**
     * Fills the view without distortion. A frame comes upright for the device's natural orientation, which turns it where
     * the sensor lies across; the view stretches it to itself, and knows nothing of how the device is held.
     */
    private void fit(Size size, int sensor, int rotation) {
        boolean across = sensor % 180 != 0;
        float frameWidth = across ? size.getHeight() : size.getWidth();
        float frameHeight = across ? size.getWidth() : size.getHeight();
        float width = view.getWidth();
        float height = view.getHeight();
        boolean turned = rotation == Surface.ROTATION_90 || rotation == Surface.ROTATION_270;
        float scale = turned ? Math.max(height / frameWidth, width / frameHeight) : Math.max(width / frameWidth, height / frameHeight);
        Matrix matrix = new Matrix();
        matrix.setScale(scale * frameWidth / width, scale * frameHeight / height, width / 2, height / 2);
        matrix.postRotate(-90 * rotation, width / 2, height / 2);
        view.setTransform(matrix);
    }

    @SuppressWarnings("deprecation") // what replaces it came with Android 9
    private void show(CameraDevice opened, Size size) {
        try {
            SurfaceTexture texture = view.getSurfaceTexture();
            if (texture == null) throw new IllegalStateException("the view is gone");
            texture.setDefaultBufferSize(size.getWidth(), size.getHeight());
            surface = new Surface(texture);
            CaptureRequest.Builder request = opened.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
            request.addTarget(surface);
            opened.createCaptureSession(Collections.singletonList(surface), new CameraCaptureSession.StateCallback() {
                @Override
                public void onConfigured(CameraCaptureSession session) {
                    if (device != opened) return; // it was closed meanwhile
                    try {
                        session.setRepeatingRequest(request.build(), null, main);
                    } catch (CameraAccessException | RuntimeException error) {
                        fail(String.valueOf(error.getMessage()));
                    }
                }

                @Override
                public void onConfigureFailed(CameraCaptureSession session) {
                    if (device == opened) fail("the camera gives no preview");
                }
            }, main);
        } catch (CameraAccessException | RuntimeException error) {
            fail(String.valueOf(error.getMessage()));
        }
    }
}

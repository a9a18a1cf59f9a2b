package dev.edgeship.demo;

import android.annotation.SuppressLint;
import android.content.Context;
import android.graphics.Matrix;
import android.graphics.RectF;
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
 * camera's; one that opens after it was closed is closed at once, so that no other application waits for it.
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
        try {
            String id = chosen();
            Size size = size(id);
            fit(size, view.getDisplay().getRotation());
            manager.openCamera(id, new CameraDevice.StateCallback() {
                @Override
                public void onOpened(CameraDevice opened) {
                    if (!wanted) {
                        opened.close();
                        return;
                    }
                    device = opened;
                    show(opened, size);
                }

                @Override
                public void onDisconnected(CameraDevice lost) {
                    lost.close();
                    fail("another application took the camera");
                }

                @Override
                public void onError(CameraDevice lost, int error) {
                    lost.close();
                    fail("the camera failed: " + error);
                }
            }, main);
        } catch (CameraAccessException | RuntimeException error) { // some cameras throw others
            fail(String.valueOf(error.getMessage()));
        }
    }

    /** Lets go of the camera; safe at any time. */
    void close() {
        wanted = false;
        if (device != null) device.close();
        if (surface != null) surface.release();
        device = null;
        surface = null;
    }

    private void fail(String why) {
        boolean told = wanted;
        close();
        if (told) failed.failed(why);
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
    private Size size(String id) throws CameraAccessException {
        StreamConfigurationMap map = manager.getCameraCharacteristics(id).get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP);
        Size best = null;
        for (Size each : map.getOutputSizes(SurfaceTexture.class)) {
            boolean fits = Math.max(each.getWidth(), each.getHeight()) <= MOST_SIDE;
            if (fits && (best == null || each.getWidth() * each.getHeight() > best.getWidth() * best.getHeight())) best = each;
        }
        if (best == null) throw new IllegalStateException("the camera has no preview of " + MOST_SIDE);
        return best;
    }

    /** Fills the view without distortion: the surface is stretched to the view, and turned where the device is. */
    private void fit(Size size, int rotation) {
        float width = view.getWidth();
        float height = view.getHeight();
        boolean turned = rotation == Surface.ROTATION_90 || rotation == Surface.ROTATION_270;
        Matrix matrix = new Matrix();
        RectF whole = new RectF(0, 0, width, height);
        float longer = size.getWidth();
        float shorter = size.getHeight();
        if (turned) {
            RectF buffer = new RectF(0, 0, shorter, longer);
            buffer.offset(whole.centerX() - buffer.centerX(), whole.centerY() - buffer.centerY());
            matrix.setRectToRect(whole, buffer, Matrix.ScaleToFit.FILL);
            float scale = Math.max(height / shorter, width / longer);
            matrix.postScale(scale, scale, whole.centerX(), whole.centerY());
            matrix.postRotate(90 * (rotation - 2), whole.centerX(), whole.centerY());
        } else {
            float scale = Math.max(width / shorter, height / longer);
            matrix.setScale(shorter * scale / width, longer * scale / height, whole.centerX(), whole.centerY());
            if (rotation == Surface.ROTATION_180) matrix.postRotate(180, whole.centerX(), whole.centerY());
        }
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
                    fail("the camera gives no preview");
                }
            }, main);
        } catch (CameraAccessException | RuntimeException error) {
            fail(String.valueOf(error.getMessage()));
        }
    }
}

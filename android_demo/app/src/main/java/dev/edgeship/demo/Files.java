package dev.edgeship.demo;

import android.content.ContentResolver;
import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.ImageDecoder;
import android.graphics.Matrix;
import android.media.ExifInterface;
import android.net.Uri;
import android.os.Build;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;

/** Files of others: what a person picks, and what a computer sends. */
final class Files {
    /** Of a file that is installed. */
    private static final long MOST_BYTES = 512L << 20;
    /** Longer side of a picture that is shown and classified. */
    private static final int LONGEST_SIDE = 1024;

    private Files() {}

    /**
     * The folder that {@code adb push} may write and this application reads, without any permission: since Android 11 the
     * shell has no sure access to {@code Android/data}. Whatever lies there is checked before it is used.
     */
    @SuppressWarnings("deprecation") // what replaces it shares with all applications, which is more than is wanted
    static File shared(Context context) throws IOException {
        for (File found : context.getExternalMediaDirs()) {
            if (found != null && (found.isDirectory() || found.mkdirs())) return found;
        }
        throw new IOException("the shared storage is not there");
    }

    /** Copies what a person picked, at most 512 MiB, into a file of this application. */
    static File copied(Context context, Uri from) throws IOException {
        File made = new File(context.getCacheDir(), "picked.zip");
        boolean whole = false;
        try (InputStream content = opened(context, from); FileOutputStream to = new FileOutputStream(made)) {
            byte[] piece = new byte[1 << 16];
            long sum = 0;
            for (int count = content.read(piece); count >= 0; count = content.read(piece)) {
                sum += count;
                if (sum > MOST_BYTES) throw new IOException("the file has more than " + (MOST_BYTES >> 20) + " MiB");
                to.write(piece, 0, count);
            }
            whole = true;
            return made;
        } finally {
            if (!whole) made.delete();
        }
    }

    /** What lies at an address that came from outside. */
    private static InputStream opened(Context context, Uri from) throws IOException {
        checkContent(from);
        InputStream found = context.getContentResolver().openInputStream(from);
        if (found == null) throw new IOException("the file is gone");
        return found;
    }

    /** Only what another application offers: by a path this one might read files that the sender may not. */
    private static void checkContent(Uri from) throws IOException {
        if (!ContentResolver.SCHEME_CONTENT.equals(from.getScheme())) throw new IOException("it is no file that another app offers");
    }

    /** A picture, upright and not larger than the screen needs. */
    static Bitmap picture(Context context, Uri from) throws IOException {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
            checkContent(from);
            return ImageDecoder.decodeBitmap(ImageDecoder.createSource(context.getContentResolver(), from), (decoder, info, source) -> {
                decoder.setAllocator(ImageDecoder.ALLOCATOR_SOFTWARE);
                int side = Math.max(info.getSize().getWidth(), info.getSize().getHeight());
                decoder.setTargetSampleSize(Math.max(1, side / LONGEST_SIDE));
            });
        }
        BitmapFactory.Options options = new BitmapFactory.Options();
        options.inJustDecodeBounds = true;
        decoded(context, from, options);
        options.inSampleSize = Math.max(1, Math.max(options.outWidth, options.outHeight) / LONGEST_SIDE);
        options.inJustDecodeBounds = false;
        Bitmap made = decoded(context, from, options);
        if (made == null) throw new IOException("it is no picture");
        return upright(made, orientation(context, from));
    }

    /** How a camera was held, as it wrote into the picture; {@code ImageDecoder} sees to it by itself. */
    private static int orientation(Context context, Uri from) throws IOException {
        try (InputStream content = opened(context, from)) {
            return new ExifInterface(content).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL);
        }
    }

    private static Bitmap upright(Bitmap of, int orientation) {
        Matrix matrix = new Matrix();
        switch (orientation) {
            case ExifInterface.ORIENTATION_ROTATE_90:
            case ExifInterface.ORIENTATION_TRANSPOSE: matrix.setRotate(90); break;
            case ExifInterface.ORIENTATION_ROTATE_180:
            case ExifInterface.ORIENTATION_FLIP_VERTICAL: matrix.setRotate(180); break;
            case ExifInterface.ORIENTATION_ROTATE_270:
            case ExifInterface.ORIENTATION_TRANSVERSE: matrix.setRotate(270); break;
            default: // as it is
        }
        boolean mirrored = orientation == ExifInterface.ORIENTATION_FLIP_HORIZONTAL
                || orientation == ExifInterface.ORIENTATION_FLIP_VERTICAL
                || orientation == ExifInterface.ORIENTATION_TRANSPOSE
                || orientation == ExifInterface.ORIENTATION_TRANSVERSE;
        if (mirrored) matrix.postScale(-1, 1);
        return matrix.isIdentity() ? of : Bitmap.createBitmap(of, 0, 0, of.getWidth(), of.getHeight(), matrix, true);
    }

    private static Bitmap decoded(Context context, Uri from, BitmapFactory.Options options) throws IOException {
        try (InputStream content = opened(context, from)) {
            return BitmapFactory.decodeStream(content, null, options);
        }
    }

    /** Pixels of a picture, ARGB, rows from the top. */
    static int[] pixels(Bitmap of) {
        int[] made = new int[of.getWidth() * of.getHeight()];
        of.getPixels(made, 0, of.getWidth(), 0, 0, of.getWidth(), of.getHeight());
        return made;
    }
}

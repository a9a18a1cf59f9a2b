package dev.edgeship.demo;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import android.graphics.ImageDecoder;
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
        try (InputStream content = context.getContentResolver().openInputStream(from); FileOutputStream to = new FileOutputStream(made)) {
            if (content == null) throw new IOException("the file is gone");
            byte[] piece = new byte[1 << 16];
            long sum = 0;
            for (int count = content.read(piece); count >= 0; count = content.read(piece)) {
                sum += count;
                if (sum > MOST_BYTES) throw new IOException("the file has more than " + (MOST_BYTES >> 20) + " MiB");
                to.write(piece, 0, count);
            }
        }
        return made;
    }

    /** A picture, upright and not larger than the screen needs. */
    static Bitmap picture(Context context, Uri from) throws IOException {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.P) {
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
        return made;
    }

    private static Bitmap decoded(Context context, Uri from, BitmapFactory.Options options) throws IOException {
        try (InputStream content = context.getContentResolver().openInputStream(from)) {
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

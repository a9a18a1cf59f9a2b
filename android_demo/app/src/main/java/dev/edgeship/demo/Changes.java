package dev.edgeship.demo;

import android.content.Context;
import dev.edgeship.client.Progress;
import dev.edgeship.client.UpdateException;

/**
 * What is done to the model, and what came of it: of the process, so that screens may come and go meanwhile. All calls are of
 * the main thread but {@link #PROGRESS}'s.
 */
final class Changes {
    /** Is told that there is something else to show. */
    interface Screen {
        void show();
    }

    /** What there is, and what came of a job. */
    private static final class Found {
        final String model;
        final boolean canGoBack;
        final String said;

        Found(Models models, String said) {
            model = Words.model(models.app, models);
            canGoBack = models.desk.canGoBack();
            this.said = said;
        }
    }

    /** For the jobs: moves the bar, as often as there is anything to see. */
    static final Progress PROGRESS = (phase, loaded, total) -> {
        boolean known = phase == Progress.Phase.DOWNLOAD && total > 0;
        tell(known ? (int) Math.min(100, 100 * loaded / total) : -1);
    };

    private static String model;
    private static String state;
    private static boolean canGoBack;
    private static int running;
    private static int ended;
    private static int percent = -1;
    private static volatile int told = -1;
    private static Screen screen;

    private Changes() {}

    /** The model in use, in words; null: not known yet. */
    static String model() {
        return model;
    }

    /** What is done, or came of what was done last, in words; null: nothing yet. */
    static String state() {
        return state;
    }

    /** Whether there is anything to go back to. */
    static boolean canGoBack() {
        return canGoBack;
    }

    /** Whether anything is under way. */
    static boolean isBusy() {
        return running > 0;
    }

    /** How much of a download is here; -1 where that is not known. */
    static int percent() {
        return percent;
    }

    /** From now on this screen shows it. */
    static void watch(Context context, Screen by) {
        screen = by;
        by.show();
        Context app = context.getApplicationContext();
        int before = ended;
        Work.start(app, models -> new Found(models, null), (found, error) -> {
            if (before == ended) end(app, found, error); // else a job has said something newer
        });
    }

    /** This screen is not seen any more. */
    static void leave(Screen by) {
        if (screen == by) screen = null;
    }

    /** Says something about the model. */
    static void say(String what) {
        state = what;
        if (screen != null) screen.show();
    }

    /**
     * Does something to the model, after what is under way.
     *
     * @param meanwhile text that is shown.
     * @param job which says what came of it. It must not hold a screen.
     */
    static void start(Context context, int meanwhile, Work.Job<String> job) {
        Context app = context.getApplicationContext();
        running++;
        percent = -1;
        say(app.getString(meanwhile));
        Work.change(app, models -> {
            try {
                return new Found(models, job.run(models));
            } catch (UpdateException error) { // it may have ended what was there
                return new Found(models, Words.error(models.app, error));
            }
        }, (found, error) -> {
            running--;
            ended++;
            end(app, found, error);
        });
    }

    /** Ends what is under way as soon as that can be. */
    static void cancel(Context context) {
        Context app = context.getApplicationContext();
        say(app.getString(R.string.state_ending));
        Work.start(app, models -> {
            models.desk.cancel();
            return null;
        }, (none, error) -> {});
    }

    private static void end(Context app, Found found, Throwable error) {
        if (found != null) {
            model = found.model;
            canGoBack = found.canGoBack;
        }
        String said = error != null ? Words.error(app, error) : found.said;
        say(said == null ? state : said);
    }

    private static void tell(int now) {
        if (now == told) return;
        told = now;
        Work.MAIN.post(() -> {
            percent = now;
            if (screen != null) screen.show();
        });
    }
}

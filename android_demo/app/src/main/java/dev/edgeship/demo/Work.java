package dev.edgeship.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * What takes time, beside the main thread: predictions on one thread, and changes of the model on another, so that no picture
 * waits for an update. The end is told on the main thread, to whoever still listens.
 */
final class Work {
    /** With the models of this application. It has their context, and need not hold a screen for one. */
    interface Job<T> {
        T run(Models models) throws Exception;
    }

    /** On the main thread; one of both is null. */
    interface Then<T> {
        void ended(T made, Throwable error);
    }

    /** Of work that somebody waits for. */
    static final class Ticket {
        private Then<?> then;

        /** Nobody listens any more, and nothing is kept for them: the screen is gone. On the main thread. */
        void drop() {
            then = null;
        }
    }

    private static final ExecutorService QUICK = Executors.newSingleThreadExecutor(work -> new Thread(work, "predictions"));
    private static final ExecutorService SLOW = Executors.newSingleThreadExecutor(work -> new Thread(work, "changes"));
    static final Handler MAIN = new Handler(Looper.getMainLooper());

    private Work() {}

    /** Does a job of moments, such as a prediction, once those before it are done. */
    static <T> Ticket start(Context context, Job<T> job, Then<T> then) {
        return on(QUICK, context, job, then);
    }

    /** Does a job that may take minutes, once those before it are done. */
    static <T> Ticket change(Context context, Job<T> job, Then<T> then) {
        return on(SLOW, context, job, then);
    }

    private static <T> Ticket on(ExecutorService thread, Context context, Job<T> job, Then<T> then) {
        Context app = context.getApplicationContext();
        Ticket ticket = new Ticket();
        ticket.then = then;
        thread.execute(() -> {
            try {
                T made = job.run(Models.of(app));
                MAIN.post(() -> tell(ticket, made, null));
            } catch (Exception | LinkageError | OutOfMemoryError error) { // a runtime may fail in any of these ways
                MAIN.post(() -> tell(ticket, null, error));
            }
        });
        return ticket;
    }

    @SuppressWarnings("unchecked") // it was made with this type
    private static <T> void tell(Ticket ticket, T made, Throwable error) {
        Then<T> then = (Then<T>) ticket.then;
        ticket.then = null;
        if (then != null) then.ended(made, error);
    }
}

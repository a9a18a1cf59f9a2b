package dev.edgeship.demo;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** What takes time, on one thread beside the main one; its end is told on the main thread, to whoever still listens. */
final class Work {
    /** With the models of this application. */
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

    private static final ExecutorService THREAD = Executors.newSingleThreadExecutor(work -> new Thread(work, "models"));
    private static final Handler MAIN = new Handler(Looper.getMainLooper());

    private Work() {}

    /** Does a job once those before it are done. */
    static <T> Ticket start(Context context, Job<T> job, Then<T> then) {
        Context app = context.getApplicationContext();
        Ticket ticket = new Ticket();
        ticket.then = then;
        THREAD.execute(() -> {
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

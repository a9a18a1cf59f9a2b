package dev.edgeship.demo;

import android.content.Context;
import android.text.BidiFormatter;
import dev.edgeship.client.Outcome;
import dev.edgeship.client.Release;
import dev.edgeship.client.Status;
import dev.edgeship.client.UpdateException;
import dev.edgeship.demo.core.Desk;
import dev.edgeship.demo.core.Predictor;
import dev.edgeship.demo.core.Scores;
import java.text.NumberFormat;

/** What the screens say, in the language of the device. */
final class Words {
    private Words() {}

    /** The model in use: which, where it came from, and what becomes of it. */
    static String model(Context context, Models models) {
        Desk desk = models.desk;
        Release release = desk.runs();
        if (release == null) return context.getString(R.string.model_none, models.line);
        if (desk.isUnsigned()) return context.getString(R.string.model_unsigned, release.manifest().name(), release.variant());
        String from = context.getResources().getStringArray(R.array.origins)[desk.origin().ordinal()];
        StringBuilder made = new StringBuilder(context.getString(R.string.model_is, models.line, release.version(), release.variant(), from));
        Status status = desk.signed();
        if (status.isRevoked()) made.append('\n').append(context.getString(R.string.model_revoked));
        else if (status.inProbation()) made.append('\n').append(context.getString(R.string.model_trial));
        if (status.previous() != null) made.append('\n').append(context.getString(R.string.model_before, status.previous()));
        return made.toString();
    }

    /** What came of a look for updates, or of a file. */
    static String outcome(Context context, Outcome of) {
        int text;
        switch (of.result()) {
            case UPDATED: text = R.string.state_updated; break;
            case CURRENT: text = R.string.state_current; break;
            case WAITING: text = R.string.state_waiting; break;
            default: text = R.string.state_kept;
        }
        String said = context.getString(text, of.version());
        return of.refused().isEmpty() ? said : said + "\n" + String.join("\n", of.refused());
    }

    /** The classes of a picture, one in each line, and how long it took. */
    static String scores(Context context, Predictor.Prediction of) {
        StringBuilder made = new StringBuilder();
        NumberFormat percent = NumberFormat.getPercentInstance();
        BidiFormatter own = BidiFormatter.getInstance(); // a label keeps its direction in a text of the other one
        for (Scores.Class each : of.classes) {
            made.append(context.getString(R.string.score, own.unicodeWrap(each.label), own.unicodeWrap(percent.format(each.score)))).append('\n');
        }
        return made.append(context.getString(R.string.latency, of.latencyMs)).toString();
    }

    /** An error with what to do about it. */
    static String error(Context context, Throwable of) {
        String remedy = of instanceof UpdateException ? ((UpdateException) of).remedy() : "";
        String said = of.getMessage() == null ? of.toString() : of.getMessage();
        return context.getString(R.string.failed, remedy.isEmpty() ? said : said + "\n" + remedy);
    }
}

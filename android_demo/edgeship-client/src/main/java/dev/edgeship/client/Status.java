package dev.edgeship.client;

/** What a client has, without asking anybody. */
public final class Status {
    private final State state;

    Status(State state) {
        this.state = state;
    }

    /** Version of the active release; null: there is none. */
    public String active() {
        return state.active == null ? null : state.active.version.toString();
    }

    /** Version of the release that it would go back to; null: there is none. */
    public String previous() {
        return state.previous == null ? null : state.previous.version.toString();
    }

    /** Whether the active release is in probation. */
    public boolean inProbation() {
        return state.active != null && state.trial != null;
    }

    /** Whether the active release may not run by the policy that was seen last, and goes on for want of another one. */
    public boolean isRevoked() {
        return state.active != null && !state.allows(state.active.version);
    }

    /** Releases that failed here. */
    public int failed() {
        return state.failed.size();
    }
}

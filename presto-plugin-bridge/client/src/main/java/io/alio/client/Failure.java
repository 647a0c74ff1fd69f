package io.alio.client;

/** Why the sidecar could not serve something. It never leaves the package, and has no stack trace: it is an answer rather than a fault. */
final class Failure extends Exception {
    private static final long serialVersionUID = 1;
    private final transient Unavailable reason;
    private final transient boolean absent;

    Failure(Unavailable reason, String message) {
        this(reason, message, false);
    }

    private Failure(Unavailable reason, String message, boolean absent) {
        super(message, null, false, false);
        this.reason = reason;
        this.absent = absent;
    }

    Unavailable reason() {
        return reason;
    }

    /** Whether the origin itself was asked for the file, within the call, and has none. */
    boolean isAbsent() {
        return absent;
    }

    /** Words a status that the sidecar answered. */
    static Failure status(int code, String message) {
        return new Failure(reasonOf(code), "the sidecar says: " + message + remedy(code));
    }

    /** Words the error of one file in an answer. */
    static Failure ofFile(int code, String message, boolean asked) {
        Failure f = status(code, message);
        return new Failure(f.reason, f.getMessage(), asked && f.reason == Unavailable.NOT_FOUND);
    }

    private static String remedy(int code) {
        switch (code) {
            case 12:
                return " (it speaks another version of the API than this client: install both of one release)";
            case 16:
                return " (set AlioOptions.token)";
            default:
                return "";
        }
    }

    private static Unavailable reasonOf(int code) {
        switch (code) {
            case 5: // NOT_FOUND
                return Unavailable.NOT_FOUND;
            case 7: // PERMISSION_DENIED
            case 16: // UNAUTHENTICATED
                return Unavailable.DENIED;
            case 10: // ABORTED
                return Unavailable.CHANGED;
            case 3: // INVALID_ARGUMENT
            case 9: // FAILED_PRECONDITION
            case 11: // OUT_OF_RANGE
                return Unavailable.INVALID;
            case 12: // UNIMPLEMENTED
                return Unavailable.UNSUPPORTED;
            default:
                return Unavailable.UNREACHABLE;
        }
    }
}

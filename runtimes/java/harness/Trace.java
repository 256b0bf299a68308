package harness;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** What was thrown, as a person reads it. Its methods are the step's own, and may throw. */
final class Trace {
    private static final int CAUSES = 8, FRAMES = 100;

    private Trace() {}

    /** The file that a step's code stands in, as far as anybody is told. */
    static String file(String step) {
        return Character.toUpperCase(step.charAt(0)) + step.substring(1) + ".java";
    }

    /** Its class and message. */
    static String describe(Throwable thrown) {
        try {
            String text = thrown.toString();
            return text == null ? thrown.getClass().getName() : text;
        } catch (Throwable another) {
            return thrown.getClass().getName() + ", which cannot be shown";
        }
    }

    /** The frames of the step's own code, and those of its causes. */
    static List<String> frames(Throwable thrown, Program program, String file) {
        List<String> lines = new ArrayList<>();
        Set<Throwable> seen = new HashSet<>();
        try {
            for (int causes = 0; thrown != null && causes < CAUSES && seen.add(thrown); causes++) {
                if (causes > 0) lines.add(printable("Caused by: " + describe(thrown)));
                for (StackTraceElement frame : thrown.getStackTrace()) {
                    if (lines.size() >= FRAMES || !program.classes().containsKey(frame.getClassName())) continue;
                    lines.add("    at " + frame.getClassName() + "." + frame.getMethodName() + "(" + file + ":" + frame.getLineNumber() + ")");
                }
                thrown = thrown.getCause();
            }
        } catch (Throwable another) {
            // a trace of the step's own making
        }
        return lines;
    }

    /** Without what an output may not hold. */
    static String printable(String text) {
        byte[] known = String.valueOf(text).getBytes(java.nio.charset.StandardCharsets.UTF_8); // lone surrogates become ?
        return new String(known, java.nio.charset.StandardCharsets.UTF_8).replace('\0', '\ufffd');
    }
}

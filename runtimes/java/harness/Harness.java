package harness;

import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The JVM of the runtime `java`: it waits for attempts, and runs each of them or compiles it.
 *
 * The shim starts it with descriptors 3 requests, 4 answers and 5, a file that takes a program. It says with one byte, before any
 * code of a step runs, what becomes of the process: `K`, it serves others after this attempt, because the program can leave nothing
 * behind ({@link Plain}); `L`, the attempt is its last; `N`, the attempt needs a process that has served none. Must never run a
 * program that is not plain in a process that has served, nor serve again after one.
 */
public final class Harness {
    private static final int REQUESTS = 3, ANSWERS = 4;

    private final DataInputStream requests = new DataInputStream(new FileInputStream(Descriptors.of(REQUESTS)));
    private final Channel answers = new Channel(new FileOutputStream(Descriptors.of(ANSWERS)));
    private boolean served;

    private Harness() {}

    public static void main(String[] arguments) throws Exception {
        State.ownStreams();
        Harness harness = new Harness();
        harness.rehearse();
        if (arguments.length > 0) Compiler.rehearse(); // what the image's archive of classes is made from
        harness.serve();
    }

    /** Whether a request waits. */
    private boolean isAsked() throws IOException {
        return requests.available() > 0;
    }

    /** Answers requests until there are no more. */
    private void serve() throws IOException {
        for (byte[] text = next(); text != null; text = next()) {
            Map<String, Object> request = Json.object(new String(text, StandardCharsets.UTF_8));
            byte[] bytes = next();
            if ("build".equals(request.get("action"))) {
                answers.say('L');
                answers.tellWhenLeft();
                answers.end(Compiler.build(request));
            }
            Program program = Program.read(bytes == null ? new byte[0] : bytes);
            boolean plain = Plain.holds(program);
            if (!plain && served) {
                answers.say('N');
                Runtime.getRuntime().halt(0);
            }
            answers.say(plain ? 'K' : 'L');
            served = true;
            if (plain) keep(program, request);
            else last(program, request);
        }
        Runtime.getRuntime().halt(0);
    }

    /** A length, and so many bytes; null at the end. */
    private byte[] next() throws IOException {
        int first = requests.read();
        if (first < 0) return null;
        int size = first << 24 | requests.readUnsignedByte() << 16 | requests.readUnsignedShort();
        return requests.readNBytes(size);
    }

    /** Runs an attempt after which the process serves on, unless something was not as it should be. */
    private void keep(Program program, Map<String, Object> request) throws IOException {
        Attempt attempt = new Attempt(program, request);
        State state = new State(answers);
        attempt.run();
        state.restore();
        boolean clean = attempt.left().isEmpty();
        answers.result(attempt.answer(), clean);
        if (!clean) Runtime.getRuntime().halt(0);
    }

    /** Runs the last attempt of this process: what it prints goes to the process's own streams. */
    private void last(Program program, Map<String, Object> request) throws IOException {
        answers.tellWhenLeft();
        Attempt attempt = new Attempt(program, request);
        attempt.run();
        System.out.flush();
        System.err.flush();
        answers.end(attempt.answer());
    }

    /**
     * Does once what every attempt does, while nobody waits: what is done for the first time takes milliseconds. A request that is
     * there already needs only part of it, so its attempt begins sooner without.
     */
    private void rehearse() throws IOException {
        if (isAsked()) return;
        Map<String, byte[]> classes = new HashMap<>();
        for (String name : List.of("harness.Rehearsal", "harness.Rehearsal$Row")) {
            try (InputStream code = Harness.class.getResourceAsStream("/" + name.replace('.', '/') + ".class")) {
                classes.put(name, code.readAllBytes());
            }
        }
        Program jar = Program.read(Program.of("harness.Rehearsal", classes).jar());
        if (isAsked()) return;
        if (!Plain.holds(jar)) throw new IllegalStateException("the rehearsal is not plain");
        if (isAsked()) return;
        Attempt attempt = new Attempt(jar, Json.object("{\"step\": \"r\", \"attempt\": 1, \"input\": {\"n\": [1, 2.5, \"x\", null]}}"));
        Channel nowhere = new Channel(OutputStream.nullOutputStream());
        State state = new State(nowhere);
        attempt.run();
        state.restore();
        nowhere.result(attempt.answer(), attempt.left().isEmpty());
        if (attempt.answer()[0] != 'S') throw new IllegalStateException(new String(attempt.answer(), StandardCharsets.UTF_8));
    }
}

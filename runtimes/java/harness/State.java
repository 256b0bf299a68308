package harness;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** What the process has as a whole and an attempt that leaves nothing behind can see: its own streams, while it runs. */
final class State {
    private final PrintStream out = System.out, err = System.err;

    State(Channel answers) {
        System.setOut(stream(answers, 'O'));
        System.setErr(stream(answers, 'E'));
    }

    /** Makes the streams of the process UTF-8, whatever the machine's language is. */
    static void ownStreams() {
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8));
    }

    private static PrintStream stream(Channel answers, char kind) {
        OutputStream frames = new OutputStream() {
            @Override
            public void write(int one) throws IOException {
                write(new byte[] {(byte) one}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int from, int size) throws IOException {
                for (int sent = 0; sent < size; ) {
                    int piece = Math.min(size - sent, 64 << 10);
                    answers.frame(kind, bytes, from + sent, piece);
                    sent += piece;
                }
            }
        };
        return new PrintStream(frames, true, StandardCharsets.UTF_8);
    }

    /** As it was. */
    void restore() {
        System.out.flush();
        System.err.flush();
        System.setOut(out);
        System.setErr(err);
    }
}

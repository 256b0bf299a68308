package harness;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;

/** What the harness says to the shim. Several threads may print. */
final class Channel {
    private final OutputStream out;
    private boolean ended;

    Channel(OutputStream out) {
        this.out = out;
    }

    /** One byte. */
    synchronized void say(char word) throws IOException {
        out.write(word);
    }

    /** A frame: its kind, the length of its content, its content. */
    synchronized void frame(char kind, byte[] content, int from, int size) throws IOException {
        byte[] head = ByteBuffer.allocate(5).put((byte) kind).putInt(size).array();
        byte[] whole = new byte[5 + size];
        System.arraycopy(head, 0, whole, 0, 5);
        System.arraycopy(content, from, whole, 5, size);
        out.write(whole);
    }

    /** The end of an attempt; in lower case when it was the last one of this process. */
    void result(byte[] answer, boolean clean) throws IOException {
        char kind = (char) answer[0];
        frame(clean ? kind : Character.toLowerCase(kind), answer, 1, answer.length - 1);
    }

    /** Says how the last attempt of this process ended, and ends it. */
    void end(byte[] answer) {
        synchronized (this) {
            ended = true;
            try {
                out.write(answer);
            } catch (IOException gone) {
                throw new UncheckedIOException(gone);
            }
        }
        Runtime.getRuntime().halt(0);
    }

    /** Says it when the process ends in order though its attempt has not: code called exit. A JVM without memory ends without a word. */
    void tellWhenLeft() {
        Runtime.getRuntime().addShutdownHook(new Thread() { // no lambda: the archive of classes has those alone that its making runs
            @Override
            public void run() {
                left();
            }
        });
    }

    private synchronized void left() {
        try {
            if (!ended) out.write('X');
        } catch (IOException gone) {
            // nobody is there to be told
        }
    }
}

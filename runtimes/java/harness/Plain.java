package harness;

import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.util.Map;
import java.util.Set;

/**
 * Tells whether a program can leave nothing behind in the process that runs it: it names nothing but its own classes, and of
 * Java's those that are listed in {@link Harmless}. Whatever is not known to be harmless is not: threads, reflection, files, sockets,
 * processes, and every setting of the process. It reads the classes as they will be loaded, and trusts no compiler.
 */
final class Plain {
    private static final int UTF8 = 1, INTEGER = 3, FLOAT = 4, LONG = 5, DOUBLE = 6, CLASS = 7, STRING = 8, FIELD = 9, METHOD = 10,
            INTERFACE_METHOD = 11, NAME_AND_TYPE = 12, METHOD_HANDLE = 15, METHOD_TYPE = 16, DYNAMIC = 17, INVOKE_DYNAMIC = 18;
    private static final int INTERFACE = 0x0200;

    private final Set<String> own;
    private final DataInputStream in;
    private int[] tags, first, second;
    private String[] texts;

    private Plain(Set<String> own, byte[] bytes) {
        this.own = own;
        this.in = new DataInputStream(new ByteArrayInputStream(bytes));
    }

    static boolean holds(Program program) {
        try {
            for (Map.Entry<String, byte[]> each : program.classes().entrySet()) {
                if (!new Plain(program.classes().keySet(), each.getValue()).holds(each.getKey())) return false;
            }
            return true;
        } catch (IOException | RuntimeException malformed) {
            return false;
        }
    }

    private boolean holds(String name) throws IOException {
        in.skipNBytes(8); // magic number and version
        readConstants();
        for (int i = 1; i < tags.length; i++) {
            if (!holds(i)) return false;
        }
        int access = in.readUnsignedShort();
        if (!name.equals(type(in.readUnsignedShort()).replace('/', '.'))) return false;
        String parent = type(in.readUnsignedShort());
        if ((access & INTERFACE) == 0 && !own.contains(parent.replace('/', '.')) && !Harmless.parent(parent)) return false;
        in.skipNBytes(2L * in.readUnsignedShort()); // interfaces: types among the constants
        members(false);
        return members(true);
    }

    private void readConstants() throws IOException {
        int count = in.readUnsignedShort();
        tags = new int[count];
        first = new int[count];
        second = new int[count];
        texts = new String[count];
        for (int i = 1; i < count; i++) {
            tags[i] = in.readUnsignedByte();
            switch (tags[i]) {
                case UTF8 -> texts[i] = in.readUTF();
                case INTEGER, FLOAT -> in.skipNBytes(4);
                case LONG, DOUBLE -> {
                    in.skipNBytes(8);
                    i++; // it takes two places
                }
                case CLASS, STRING, METHOD_TYPE -> first[i] = in.readUnsignedShort();
                case FIELD, METHOD, INTERFACE_METHOD, NAME_AND_TYPE, DYNAMIC, INVOKE_DYNAMIC -> {
                    first[i] = in.readUnsignedShort();
                    second[i] = in.readUnsignedShort();
                }
                case METHOD_HANDLE -> {
                    in.skipNBytes(1);
                    first[i] = in.readUnsignedShort(); // a member, which stands among the constants too
                }
                default -> throw new IOException("a constant of unknown kind");
            }
        }
    }

    /** Whether a constant is harmless. */
    private boolean holds(int constant) {
        switch (tags[constant]) {
            case CLASS:
                return known(type(constant));
            case FIELD, METHOD, INTERFACE_METHOD:
                String owner = element(type(first[constant]));
                if (owner == null) return true; // of an array of numbers: clone
                String name = texts[first[second[constant]]], descriptor = texts[second[second[constant]]];
                // A class of the program may inherit what it calls: that is one of a parent's, which every object has.
                return own.contains(owner.replace('/', '.')) ? Harmless.inherited(name) : Harmless.member(owner, name, descriptor);
            default:
                return true;
        }
    }

    private boolean known(String type) {
        String element = element(type);
        return element == null || own.contains(element.replace('/', '.')) || Harmless.type(element);
    }

    /** The name of a class that a constant has. */
    private String type(int constant) {
        return texts[first[constant]];
    }

    /** What an array is of, or the class itself; null for numbers. */
    private static String element(String type) {
        if (!type.startsWith("[")) return type;
        String inner = type.substring(type.lastIndexOf('[') + 1);
        return inner.startsWith("L") ? inner.substring(1, inner.length() - 1) : null;
    }

    /** Reads fields or methods; false if a method would be called when nobody needs its object any more. */
    private boolean members(boolean methods) throws IOException {
        boolean harmless = true;
        for (int left = in.readUnsignedShort(); left > 0; left--) {
            in.skipNBytes(2);
            String name = texts[in.readUnsignedShort()], descriptor = texts[in.readUnsignedShort()];
            harmless &= !(methods && name.equals("finalize") && descriptor.equals("()V"));
            for (int attributes = in.readUnsignedShort(); attributes > 0; attributes--) {
                in.skipNBytes(2);
                in.skipNBytes(Integer.toUnsignedLong(in.readInt()));
            }
        }
        return harmless;
    }
}

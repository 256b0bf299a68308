package harness;

import java.io.FileDescriptor;
import java.lang.reflect.Constructor;

/** Descriptors that the shim opened. The manifest of the harness opens the package for this. */
final class Descriptors {
    private Descriptors() {}

    static FileDescriptor of(int number) {
        try {
            Constructor<FileDescriptor> made = FileDescriptor.class.getDeclaredConstructor(int.class);
            made.setAccessible(true);
            return made.newInstance(number);
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}

package harness;

import java.io.FileDescriptor;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/** Descriptors that the shim opened. The manifest of the harness opens the package for this. */
final class Descriptors {
    private Descriptors() {}

    static FileDescriptor of(int number) {
        try {
            MethodHandles.Lookup inside = MethodHandles.privateLookupIn(FileDescriptor.class, MethodHandles.lookup());
            return (FileDescriptor) inside.findConstructor(FileDescriptor.class, MethodType.methodType(void.class, int.class)).invokeExact(number);
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}

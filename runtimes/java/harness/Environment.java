package harness;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.HashMap;
import java.util.Map;

/** The variables that System.getenv and child processes see. Java reads them once; here they are a step's. */
final class Environment {
    private final Map<Object, Object> live;
    private final Map<Object, Object> before;
    private final MethodHandle variable, value;

    /** By handles, not by reflection, for whose calls a JVM that has just started makes classes. */
    @SuppressWarnings("unchecked")
    Environment() {
        try {
            Class<?> environment = Class.forName("java.lang.ProcessEnvironment");
            MethodHandles.Lookup inside = MethodHandles.privateLookupIn(environment, MethodHandles.lookup());
            MethodHandle all = inside.findStaticGetter(environment, "theEnvironment", HashMap.class);
            live = (Map<Object, Object>) all.asType(MethodType.methodType(Map.class)).invokeExact();
            variable = made(inside, "Variable");
            value = made(inside, "Value");
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
        before = new HashMap<>(live);
    }

    private static MethodHandle made(MethodHandles.Lookup inside, String name) throws ReflectiveOperationException {
        Class<?> type = Class.forName(inside.lookupClass().getName() + "$" + name);
        MethodHandle found = inside.findStatic(type, "valueOf", MethodType.methodType(type, String.class));
        return found.asType(MethodType.methodType(Object.class, String.class));
    }

    void set(String name, String text) {
        try {
            live.put((Object) variable.invokeExact(name), (Object) value.invokeExact(text));
        } catch (Throwable impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** As it was. */
    void restore() {
        live.clear();
        live.putAll(before);
    }
}

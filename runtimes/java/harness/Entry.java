package harness;

import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Map;

/** The method that a step must have. */
final class Entry {
    static final String WANTED = "expected static Object main(Map<String, Object> in)";

    private Entry() {}

    /** Whether it can be called with a step's arguments, or without any. */
    static boolean fits(Method method) {
        Class<?>[] parameters = method.getParameterTypes();
        return method.getName().equals("main") && Modifier.isStatic(method.getModifiers()) && !method.isSynthetic()
                && (parameters.length == 0 || parameters.length == 1 && parameters[0] == Map.class);
    }
}

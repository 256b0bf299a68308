package harness;

import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.HashMap;
import java.util.Map;

/** The variables that System.getenv and child processes see. Java reads them once; here they are a step's. */
final class Environment {
    private final Map<Object, Object> live;
    private final Map<Object, Object> before;
    private final Method variable, value;

    @SuppressWarnings("unchecked")
    Environment() {
        try {
            Class<?> environment = Class.forName("java.lang.ProcessEnvironment");
            Field field = environment.getDeclaredField("theEnvironment");
            field.setAccessible(true);
            live = (Map<Object, Object>) field.get(null);
            variable = method(environment, "Variable");
            value = method(environment, "Value");
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
        before = new HashMap<>(live);
    }

    private static Method method(Class<?> environment, String name) throws ReflectiveOperationException {
        Method found = Class.forName(environment.getName() + "$" + name).getDeclaredMethod("valueOf", String.class);
        found.setAccessible(true);
        return found;
    }

    void set(String name, String text) {
        try {
            live.put(variable.invoke(null, name), value.invoke(null, text));
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    /** As it was. */
    void restore() {
        live.clear();
        live.putAll(before);
    }
}

package harness;

import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.RecordComponent;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Deque;
import java.util.Iterator;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** The JSON of what main returned: strictly, so that nothing is lost without a word. */
final class Output {
    private static final int MAX_DEPTH = 64;

    private final StringBuilder text = new StringBuilder();
    private final Deque<String> place = new ArrayDeque<>();

    private Output() {}

    /** What main returned is not JSON; the message names the place. */
    static final class Invalid extends RuntimeException {
        private static final long serialVersionUID = 1;

        Invalid(String message) {
            super(Trace.printable(message));
        }
    }

    static String encode(Object value) {
        Output output = new Output();
        output.value(value);
        return output.text.toString();
    }

    private void value(Object value) {
        if (value instanceof Optional<?> some) value = some.orElse(null);
        if (value instanceof OptionalInt some) value = some.isPresent() ? some.getAsInt() : null;
        if (value instanceof OptionalLong some) value = some.isPresent() ? some.getAsLong() : null;
        if (value instanceof OptionalDouble some) value = some.isPresent() ? some.getAsDouble() : null;
        if (value == null || value instanceof Boolean || whole(value)) text.append(value);
        else if (value instanceof Double || value instanceof Float) number((Number) value);
        else if (value instanceof BigDecimal exact) text.append(exact);
        else if (value instanceof CharSequence || value instanceof Character) string(value.toString());
        else if (value instanceof Enum<?> constant) string(constant.name());
        else if (value instanceof Map<?, ?> map) map(map);
        else if (value instanceof Record fields) fields(fields);
        else if (value instanceof Collection<?> items) items(items.iterator());
        else if (value.getClass().isArray()) array(value);
        else throw refuse("is of " + value.getClass(), "expected null, a boolean, number, text, Map, Collection, array or record");
    }

    private static boolean whole(Object value) {
        return value instanceof Integer || value instanceof Long || value instanceof Short || value instanceof Byte
                || value instanceof BigInteger || value instanceof AtomicInteger || value instanceof AtomicLong;
    }

    private void number(Number value) {
        if (!Double.isFinite(value.doubleValue())) throw refuse("is " + value, "expected a number that JSON can hold");
        text.append(value);
    }

    private void map(Map<?, ?> map) {
        enter();
        text.append('{');
        boolean first = true;
        for (Map.Entry<?, ?> each : map.entrySet()) {
            if (!(each.getKey() instanceof CharSequence || each.getKey() instanceof Enum<?>)) {
                throw refuse("has the key " + each.getKey(), "expected a text");
            }
            String key = each.getKey() instanceof Enum<?> constant ? constant.name() : each.getKey().toString();
            entry(key, each.getValue(), first);
            first = false;
        }
        text.append('}');
        leave();
    }

    private void fields(Record value) {
        enter();
        text.append('{');
        boolean first = true;
        for (RecordComponent each : value.getClass().getRecordComponents()) {
            entry(each.getName(), read(value, each.getAccessor()), first);
            first = false;
        }
        text.append('}');
        leave();
    }

    private static Object read(Record value, Method accessor) {
        try {
            accessor.setAccessible(true);
            return accessor.invoke(value);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause() instanceof RuntimeException known ? known : new IllegalStateException(thrown.getCause());
        } catch (IllegalAccessException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private void entry(String key, Object value, boolean first) {
        if (!first) text.append(',');
        string(key);
        text.append(':');
        place.addLast(key.matches("[A-Za-z_$][A-Za-z0-9_$]{0,62}") ? "." + key : "[\"" + (key.length() > 60 ? key.substring(0, 60) : key) + "\"]");
        value(value);
        place.removeLast();
    }

    private void items(Iterator<?> items) {
        enter();
        text.append('[');
        for (int index = 0; items.hasNext(); index++) item(items.next(), index);
        text.append(']');
        leave();
    }

    private void array(Object array) {
        enter();
        text.append('[');
        for (int index = 0; index < Array.getLength(array); index++) item(Array.get(array, index), index);
        text.append(']');
        leave();
    }

    private void item(Object value, int index) {
        if (index > 0) text.append(',');
        place.addLast("[" + index + "]");
        value(value);
        place.removeLast();
    }

    private int depth;

    private void enter() {
        if (++depth > MAX_DEPTH) throw new Invalid("the output is nested deeper than " + MAX_DEPTH + " levels, or contains itself");
    }

    private void leave() {
        depth--;
    }

    private void string(String value) {
        text.append('"');
        for (int i = 0; i < value.length(); i++) {
            char next = value.charAt(i);
            if (next == 0) throw refuse("holds the character NUL", "expected a text without it");
            if (Character.isSurrogate(next)) {
                if (!Character.isHighSurrogate(next) || i + 1 == value.length() || !Character.isLowSurrogate(value.charAt(i + 1))) {
                    throw refuse("holds a lone surrogate", "expected whole characters");
                }
                text.append(next).append(value.charAt(++i));
            } else if (next == '"' || next == '\\') {
                text.append('\\').append(next);
            } else if (next < 0x20) {
                int escape = "\b\f\n\r\t".indexOf(next);
                if (escape >= 0) text.append('\\').append("bfnrt".charAt(escape));
                else text.append("\\u00").append(next < 0x10 ? '0' : '1').append("0123456789abcdef".charAt(next & 15));
            } else {
                text.append(next);
            }
        }
        text.append('"');
    }

    private Invalid refuse(String found, String expected) {
        return new Invalid("output" + String.join("", place) + " " + found + ", which JSON cannot hold: " + expected);
    }
}

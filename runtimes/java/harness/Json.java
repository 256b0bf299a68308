package harness;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as Java's own values: LinkedHashMap, ArrayList, String, Boolean, null; integers are Long, or BigInteger beyond it; other
 * numbers are Double, or BigDecimal beyond it. The text comes from the runner, which has checked it.
 */
final class Json {
    private static final int MAX_DEPTH = 2000;

    private final String text;
    private int at;
    private int depth;

    private Json(String text) {
        this.text = text;
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> object(String text) {
        return (Map<String, Object>) new Json(text).value();
    }

    private Object value() {
        switch (peek()) {
            case '{':
                return object();
            case '[':
                return array();
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object() {
        Map<String, Object> found = new LinkedHashMap<>();
        enter();
        while (peek() != '}') {
            String key = string();
            if (peek() != ':') throw wrong("':'");
            at++;
            found.put(key, value());
            if (peek() == ',') at++;
        }
        leave();
        return found;
    }

    private List<Object> array() {
        List<Object> found = new ArrayList<>();
        enter();
        while (peek() != ']') {
            found.add(value());
            if (peek() == ',') at++;
        }
        leave();
        return found;
    }

    private void enter() {
        at++;
        if (++depth > MAX_DEPTH) throw wrong("fewer levels");
    }

    private void leave() {
        at++;
        depth--;
    }

    private String string() {
        if (peek() != '"') throw wrong("a string");
        int start = ++at;
        while (text.charAt(at) != '"' && text.charAt(at) != '\\') at++;
        if (text.charAt(at) == '"') return text.substring(start, at++);
        StringBuilder made = new StringBuilder().append(text, start, at);
        for (; text.charAt(at) != '"'; at++) {
            char next = text.charAt(at);
            if (next != '\\') {
                made.append(next);
                continue;
            }
            next = text.charAt(++at);
            if (next == 'u') {
                made.append((char) Integer.parseInt(text, at + 1, at + 5, 16));
                at += 4;
            } else {
                int escape = "bfnrt".indexOf(next);
                made.append(escape < 0 ? next : "\b\f\n\r\t".charAt(escape));
            }
        }
        at++;
        return made.toString();
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) throw wrong(word);
        at += word.length();
        return value;
    }

    private Object number() {
        int start = at;
        boolean whole = true;
        for (; at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0; at++) {
            whole &= ".eE".indexOf(text.charAt(at)) < 0;
        }
        if (at == start) throw wrong("a value");
        String digits = text.substring(start, at);
        if (!whole) {
            double near = Double.parseDouble(digits);
            return Double.isFinite(near) ? (Object) near : new BigDecimal(digits);
        }
        if (digits.length() < 19) return Long.parseLong(digits);
        BigInteger exact = new BigInteger(digits);
        return exact.bitLength() < Long.SIZE ? (Object) exact.longValue() : exact;
    }

    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) at++;
        if (at == text.length()) throw wrong("more");
        return text.charAt(at);
    }

    private IllegalArgumentException wrong(String expected) {
        return new IllegalArgumentException("the request is no JSON: expected " + expected + " at " + at);
    }
}

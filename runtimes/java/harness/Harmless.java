package harness;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.StringTokenizer;

/**
 * What of Java a program may name and still leave nothing behind: values, collections, text, numbers, time, printing. A class
 * stands here only if nothing that can be reached through it is kept, changed or started for the process as a whole. When in
 * doubt it is left out: a program that names another class runs as well, in a process of its own.
 */
final class Harmless {
    /** Whole packages, without those below them. */
    private static final Set<String> PACKAGES = Set.of("java/util/function", "java/util/stream", "java/util/regex", "java/math",
            "java/time", "java/time/format", "java/time/temporal", "java/util/concurrent/atomic");

    private static final Set<String> TYPES = all(
            in("java/lang", "Object String StringBuilder StringBuffer CharSequence Character Character$UnicodeBlock Character$UnicodeScript Integer Long"
                    + " Short Byte Double Float Number Boolean Void Math StrictMath Comparable Iterable Record Enum Throwable StackTraceElement"
                    + " AutoCloseable Cloneable Appendable Readable Runnable System Class Thread Runtime"),
            in("java/lang/invoke", "StringConcatFactory LambdaMetafactory MethodHandles MethodHandles$Lookup MethodHandle MethodType CallSite"),
            in("java/lang/runtime", "ObjectMethods SwitchBootstraps"),
            in("java/util", "AbstractCollection AbstractList AbstractMap AbstractMap$SimpleEntry AbstractMap$SimpleImmutableEntry AbstractQueue"
                    + " AbstractSequentialList AbstractSet ArrayDeque ArrayList Arrays Base64 Base64$Decoder Base64$Encoder BitSet Collection Collections"
                    + " Comparator Deque DoubleSummaryStatistics EnumMap EnumSet Enumeration HashMap HashSet HexFormat Hashtable IdentityHashMap"
                    + " IntSummaryStatistics Iterator LinkedHashMap LinkedHashSet LinkedList List ListIterator Locale LongSummaryStatistics Map Map$Entry"
                    + " NavigableMap NavigableSet Objects Optional OptionalDouble OptionalInt OptionalLong PrimitiveIterator$OfInt PriorityQueue Queue"
                    + " Random RandomAccess Scanner SequencedCollection SequencedMap SequencedSet Set SortedMap SortedSet Spliterator Spliterators"
                    + " SplittableRandom Stack StringJoiner StringTokenizer TreeMap TreeSet UUID Vector"),
            in("java/util/concurrent", "Callable ConcurrentHashMap ConcurrentLinkedQueue ConcurrentMap CopyOnWriteArrayList ThreadLocalRandom TimeUnit"),
            in("java/util/zip", "Adler32 CRC32 Checksum"),
            in("java/time/chrono", "ChronoLocalDate ChronoLocalDateTime ChronoZonedDateTime IsoChronology IsoEra"),
            in("java/text", "DecimalFormat DecimalFormatSymbols Format MessageFormat Normalizer Normalizer$Form NumberFormat ParsePosition"),
            in("java/io", "BufferedReader BufferedWriter ByteArrayInputStream ByteArrayOutputStream Closeable Flushable InputStream InputStreamReader"
                    + " OutputStream OutputStreamWriter PrintStream PrintWriter Reader Serializable StringReader StringWriter Writer"),
            in("java/nio/charset", "Charset StandardCharsets"),
            in("java/security", "MessageDigest"));

    /** Where exceptions are harmless, too. */
    private static final Set<String> EXCEPTIONS = Set.of("java/lang", "java/util", "java/util/concurrent", "java/util/regex", "java/io",
            "java/text", "java/time", "java/time/format", "java/time/temporal", "java/nio/charset", "java/security");

    /** Of these, only the members that are named. */
    private static final Map<String, Set<String>> MEMBERS = Map.ofEntries(
            only("java/lang/System", "out err currentTimeMillis nanoTime arraycopy identityHashCode lineSeparator getenv getProperty"),
            only("java/lang/Class", "getName getSimpleName getTypeName isInstance cast desiredAssertionStatus getEnumConstants isArray isEnum isRecord equals hashCode toString"),
            only("java/lang/Thread", "sleep currentThread interrupt isInterrupted interrupted"),
            only("java/lang/Runtime", "getRuntime availableProcessors totalMemory freeMemory maxMemory"),
            only("java/lang/invoke/StringConcatFactory", "makeConcatWithConstants makeConcat"),
            only("java/lang/invoke/LambdaMetafactory", "metafactory"),
            only("java/lang/invoke/MethodHandles", ""),
            only("java/lang/invoke/MethodHandles$Lookup", ""),
            only("java/lang/invoke/MethodHandle", ""),
            only("java/lang/invoke/MethodType", ""),
            only("java/lang/invoke/CallSite", ""),
            only("java/io/PrintStream", "print println printf format append write flush"),
            only("java/nio/charset/Charset", "forName defaultCharset name toString equals hashCode"),
            only("java/security/MessageDigest", "getInstance update digest reset isEqual getDigestLength getAlgorithm"));

    /** Names that are not harmless anywhere: they hand work to threads of the process, or set what is the process's. */
    private static final Set<String> NEVER = Set.of("parallel", "parallelStream", "parallelSort", "parallelPrefix", "parallelSetAll", "setDefault");

    private Harmless() {}

    private static List<String> in(String place, String names) {
        List<String> found = new ArrayList<>();
        for (StringTokenizer each = new StringTokenizer(names); each.hasMoreTokens();) found.add(place + "/" + each.nextToken());
        return found;
    }

    /** Without streams, which a JVM that has just started takes milliseconds to set up. */
    @SafeVarargs
    private static Set<String> all(List<String>... names) {
        Set<String> found = new HashSet<>();
        for (List<String> each : names) found.addAll(each);
        return found;
    }

    private static Map.Entry<String, Set<String>> only(String owner, String names) {
        Set<String> found = new HashSet<>();
        for (StringTokenizer each = new StringTokenizer(names); each.hasMoreTokens();) found.add(each.nextToken());
        return Map.entry(owner, found);
    }

    /** Whether a class of Java may be named. */
    static boolean type(String name) {
        String place = name.substring(0, Math.max(0, name.lastIndexOf('/')));
        return TYPES.contains(name) || PACKAGES.contains(place) || exception(name, place);
    }

    private static boolean exception(String name, String place) {
        return EXCEPTIONS.contains(place) && (name.endsWith("Exception") || name.endsWith("Error"));
    }

    /** Whether a class of the program may be made of it. */
    static boolean parent(String name) {
        String place = name.substring(0, Math.max(0, name.lastIndexOf('/')));
        return Set.of("java/lang/Object", "java/lang/Record", "java/lang/Enum", "java/lang/Throwable").contains(name)
                || name.startsWith("java/util/Abstract") && TYPES.contains(name) || exception(name, place);
    }

    /** Whether a member of a class of Java may be used. */
    static boolean member(String owner, String name, String descriptor) {
        if (!type(owner) || NEVER.contains(name)) return false;
        if (owner.equals("java/io/PrintWriter") && name.equals("<init>")) return descriptor.startsWith("(Ljava/io/Writer;") || descriptor.startsWith("(Ljava/io/OutputStream;");
        Set<String> members = MEMBERS.get(owner);
        return members == null || members.contains(name);
    }

    /** Whether a member may be used that a class of the program has, or that its parents have. */
    static boolean inherited(String name) {
        return !NEVER.contains(name);
    }
}

package harness;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.jar.Attributes;
import java.util.jar.JarEntry;
import java.util.jar.JarInputStream;
import java.util.jar.JarOutputStream;
import java.util.jar.Manifest;

/** The classes of one step, as a jar: the same classes are the same bytes. Each attempt has a loader of its own for them. */
final class Program {
    /** Jars that an image may add; every class of them is loaded anew for each attempt. */
    static final Path LIBRARIES = Path.of("/citadel/lib");

    private static final LocalDateTime ALWAYS = LocalDateTime.of(2000, 1, 1, 0, 0);
    private static final String SUFFIX = ".class";

    private final String entry;
    private final Map<String, byte[]> classes;
    private Loader loader;

    private Program(String entry, Map<String, byte[]> classes) {
        this.entry = entry;
        this.classes = classes;
    }

    static Program of(String entry, Map<String, byte[]> classes) {
        return new Program(entry, new TreeMap<>(classes));
    }

    static Program read(byte[] bytes) throws IOException {
        Map<String, byte[]> classes = new HashMap<>();
        try (JarInputStream jar = new JarInputStream(new ByteArrayInputStream(bytes), false)) {
            for (JarEntry each = jar.getNextJarEntry(); each != null; each = jar.getNextJarEntry()) {
                String name = each.getName();
                if (name.endsWith(SUFFIX)) classes.put(name.substring(0, name.length() - SUFFIX.length()).replace('/', '.'), jar.readAllBytes());
            }
            Manifest manifest = jar.getManifest();
            String entry = manifest == null ? null : manifest.getMainAttributes().getValue(Attributes.Name.MAIN_CLASS);
            return new Program(entry == null ? "" : entry, classes);
        }
    }

    /** The jar of it. */
    byte[] jar() throws IOException {
        Manifest manifest = new Manifest();
        manifest.getMainAttributes().put(Attributes.Name.MANIFEST_VERSION, "1.0");
        manifest.getMainAttributes().put(Attributes.Name.MAIN_CLASS, entry);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JarOutputStream jar = new JarOutputStream(bytes)) {
            add(jar, "META-INF/MANIFEST.MF");
            manifest.write(jar);
            for (Map.Entry<String, byte[]> each : classes.entrySet()) {
                add(jar, each.getKey().replace('.', '/') + SUFFIX);
                jar.write(each.getValue());
            }
        }
        return bytes.toByteArray();
    }

    private static void add(JarOutputStream jar, String name) throws IOException {
        JarEntry made = new JarEntry(name);
        made.setTimeLocal(ALWAYS);
        jar.putNextEntry(made);
    }

    String entry() {
        return entry;
    }

    /** The bytes of each class, by its name. */
    Map<String, byte[]> classes() {
        return classes;
    }

    /** The loader of this attempt. */
    ClassLoader loader() {
        if (loader == null) loader = new Loader(classes);
        return loader;
    }

    /** The jars of the image. */
    static List<Path> libraries() {
        List<Path> found = new ArrayList<>();
        String packages = System.getenv("CITADEL_PACKAGES");
        if (packages != null) addJars(Path.of(packages, "jars"), found);
        addJars(LIBRARIES, found);
        return found;
    }

    private static void addJars(Path directory, List<Path> found) {
        if (!Files.isDirectory(directory)) return;
        List<Path> here = new ArrayList<>();
        try (DirectoryStream<Path> jars = Files.newDirectoryStream(directory, "*.jar")) {
            jars.forEach(here::add);
        } catch (IOException unreadable) {
            throw new IllegalStateException(unreadable);
        }
        here.sort(null);
        found.addAll(here);
    }

    /** Its own classes first, so that none of them can stand for another of that name; then the image's; then Java's. */
    private static final class Loader extends URLClassLoader {
        private final Map<String, byte[]> classes;

        Loader(Map<String, byte[]> classes) {
            super(urls(), ClassLoader.getPlatformClassLoader());
            this.classes = classes;
        }

        private static URL[] urls() {
            List<URL> found = new ArrayList<>();
            try {
                for (Path jar : libraries()) found.add(jar.toUri().toURL());
            } catch (MalformedURLException impossible) {
                throw new IllegalStateException(impossible);
            }
            return found.toArray(URL[]::new);
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            byte[] bytes = classes.get(name);
            if (bytes == null) return super.loadClass(name, resolve);
            synchronized (getClassLoadingLock(name)) {
                Class<?> found = findLoadedClass(name);
                return found != null ? found : defineClass(name, bytes, 0, bytes.length);
            }
        }
    }
}

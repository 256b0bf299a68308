package harness;

import com.sun.source.util.JavacTask;
import java.io.ByteArrayOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Writer;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import javax.lang.model.element.Element;
import javax.lang.model.element.ExecutableElement;
import javax.lang.model.element.Modifier;
import javax.lang.model.element.NestingKind;
import javax.lang.model.element.TypeElement;
import javax.lang.model.element.VariableElement;
import javax.lang.model.type.DeclaredType;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileManager;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.StandardLocation;
import javax.tools.ToolProvider;

/** Compiles the source of one step. The source is hostile: no code of it is run, annotation processors are off. */
final class Compiler {
    private static final int PROGRAM = 5, MAX_PROGRAM = 64 << 20, MAX_PROBLEMS = 20;
    /** The step load is built by the hidden step load.build. */
    private static final String HIDDEN_SUFFIX = ".build";

    private static final long STACK = 64 << 20;

    private final DiagnosticCollector<JavaFileObject> said = new DiagnosticCollector<>();
    private final String step, source;

    private Compiler(String step, String source) {
        this.step = step;
        this.source = source;
    }

    /** The answer to a request; a program that came of it stands in its descriptor. */
    static byte[] build(Map<String, Object> request) {
        String step = String.valueOf(request.get("step"));
        if (step.endsWith(HIDDEN_SUFFIX)) step = step.substring(0, step.length() - HIDDEN_SUFFIX.length());
        Compiler compiler = new Compiler(step, String.valueOf(request.get("code")));
        byte[][] answer = new byte[1][];
        Thread thread = new Thread(null, () -> answer[0] = compiler.answer(), "compiler", STACK); // javac recurses into expressions
        thread.start();
        try {
            thread.join();
        } catch (InterruptedException nobody) {
            throw new IllegalStateException(nobody);
        }
        return answer[0];
    }

    /** Loads what a build needs. */
    static void rehearse() throws IOException {
        String code = "import java.util.*; import java.util.stream.*; class A { record R(int a) {} static Object main(Map<String, Object> in) {"
                + " return Stream.of(new R(1)).map(r -> \"\" + r.a()).collect(Collectors.toList()); } }";
        if (program("rehearsal", code).jar().length == 0) throw new IllegalStateException("nothing was compiled");
        try {
            program("rehearsal", "class A { int a = \"\"; }");
        } catch (Refused expected) {
            Attempt.failure("InvalidCode", expected.getMessage(), expected.traceback, null);
        }
    }

    private byte[] answer() {
        try (OutputStream program = new FileOutputStream(Descriptors.of(PROGRAM))) {
            byte[] jar = compile().jar();
            if (jar.length > MAX_PROGRAM) throw new Refused("the program has " + jar.length + " bytes, at most " + MAX_PROGRAM + " are allowed", List.of());
            program.write(jar);
            return "Snull".getBytes(StandardCharsets.US_ASCII);
        } catch (Refused refused) {
            return Attempt.failure("InvalidCode", "step " + step + refused.getMessage(), refused.traceback, null);
        } catch (StackOverflowError deep) {
            return Attempt.failure("InvalidCode", "step " + step + ": it is nested too deeply for the compiler", List.of(), null);
        } catch (IOException | RuntimeException | AssertionError unknown) {
            return Attempt.failure("InvalidCode", "step " + step + ": the compiler cannot cope with it: " + unknown, List.of(), null);
        }
    }

    /** The program of a source. */
    static Program program(String step, String source) throws IOException {
        return new Compiler(step, source).compile();
    }

    /** The compiled source; throws Refused. */
    private Program compile() throws IOException {
        JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
        Map<String, byte[]> classes = new HashMap<>();
        try (StandardJavaFileManager files = javac.getStandardFileManager(said, Locale.ENGLISH, StandardCharsets.UTF_8)) {
            files.setLocationFromPaths(StandardLocation.CLASS_PATH, Program.libraries());
            List<String> options = List.of("-proc:none", "-g", "-parameters", "-Xlint:none", "-nowarn", "-XDstringConcat=inline", "-implicit:none", "-Xmaxerrs", "1000");
            JavacTask task = (JavacTask) javac.getTask(Writer.nullWriter(), memory(files, classes), said, options, null, List.of(new Source(source)));
            String entry = null;
            Iterable<? extends Element> analyzed = task.analyze();
            if (!failed()) {
                entry = entry(analyzed);
                task.generate();
            }
            if (failed()) throw refusal();
            return Program.of(entry, classes);
        }
    }

    private boolean failed() {
        return said.getDiagnostics().stream().anyMatch(each -> each.getKind() == Diagnostic.Kind.ERROR);
    }

    /** The class that has main. */
    private String entry(Iterable<? extends Element> analyzed) {
        List<String> found = new ArrayList<>(), common = new ArrayList<>();
        for (Element element : analyzed) {
            if (!(element instanceof TypeElement type) || type.getNestingKind() != NestingKind.TOP_LEVEL) continue;
            boolean fits = false, other = false;
            for (Element member : type.getEnclosedElements()) {
                if (!(member instanceof ExecutableElement method) || !method.getSimpleName().contentEquals("main")) continue;
                if (fits(method)) fits = true;
                else other = true;
            }
            if (fits) (type.getModifiers().contains(Modifier.PUBLIC) ? common : found).add(type.getQualifiedName().toString());
            else if (other) throw new Refused(": class " + type + " has another main, " + Entry.WANTED, List.of());
        }
        List<String> candidates = common.isEmpty() ? found : common;
        if (candidates.isEmpty()) throw new Refused(": found no class with main, " + Entry.WANTED, List.of());
        if (candidates.size() > 1) throw new Refused(": found main in " + String.join(" and ", candidates) + ", expected it in one class", List.of());
        return candidates.get(0);
    }

    private static boolean fits(ExecutableElement method) {
        List<? extends VariableElement> parameters = method.getParameters();
        if (!method.getModifiers().contains(Modifier.STATIC) || parameters.size() > 1) return false;
        return parameters.isEmpty() || parameters.get(0).asType() instanceof DeclaredType type
                && ((TypeElement) type.asElement()).getQualifiedName().contentEquals("java.util.Map");
    }

    /** What the compiler said, with the lines of the step. */
    private Refused refusal() {
        List<String> lines = new ArrayList<>();
        String message = "";
        int count = 0;
        String[] text = source.split("\n", -1);
        for (Diagnostic<? extends JavaFileObject> each : said.getDiagnostics()) {
            if (each.getKind() != Diagnostic.Kind.ERROR || ++count > MAX_PROBLEMS) continue;
            String what = Trace.printable(each.getMessage(Locale.ENGLISH));
            long line = each.getLineNumber();
            if (message.isEmpty()) message = line < 1 ? ": " + what : ", line " + line + ", column " + each.getColumnNumber() + ": " + what;
            if (line < 1) continue;
            lines.addAll(List.of(("    at " + Trace.file(step) + ":" + line + ":" + each.getColumnNumber() + ": " + what).split("\n")));
            if (line <= text.length) lines.add("        " + Trace.printable(text[(int) line - 1].strip()));
        }
        if (count > MAX_PROBLEMS) lines.add("and " + (count - MAX_PROBLEMS) + " more");
        return new Refused(message, lines);
    }

    /** The source is not Java, or has no main. */
    private static final class Refused extends RuntimeException {
        private static final long serialVersionUID = 1;
        final transient List<String> traceback;

        Refused(String message, List<String> traceback) {
            super(message);
            this.traceback = traceback;
        }
    }

    /** The step's file. Its name is the same for all steps, and fits every class. */
    private static final class Source extends SimpleJavaFileObject {
        private final String text;

        Source(String text) {
            super(URI.create("string:///Step.java"), Kind.SOURCE);
            this.text = text;
        }

        @Override
        public CharSequence getCharContent(boolean ignoring) {
            return text;
        }

        @Override
        public boolean isNameCompatible(String name, Kind kind) {
            return kind == Kind.SOURCE;
        }
    }

    /** Classes stay in memory. */
    private static JavaFileManager memory(StandardJavaFileManager files, Map<String, byte[]> classes) {
        return new ForwardingJavaFileManager<JavaFileManager>(files) {
            @Override
            public JavaFileObject getJavaFileForOutput(Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
                return new SimpleJavaFileObject(URI.create("string:///" + name.replace('.', '/') + kind.extension), kind) {
                    @Override
                    public OutputStream openOutputStream() {
                        return new ByteArrayOutputStream() {
                            @Override
                            public void close() {
                                classes.put(name, toByteArray());
                            }
                        };
                    }
                };
            }
        };
    }
}

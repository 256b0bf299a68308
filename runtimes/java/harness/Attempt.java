package harness;

import java.io.ByteArrayOutputStream;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import sun.misc.Signal;

/** One attempt of one step: a class loader and a thread of its own, and an answer: `S` and the output, or `F` and a failure. */
final class Attempt {
    private final Program program;
    private final Map<String, Object> request;
    private final String step;
    private byte[] answer;
    private boolean broken;
    private String left = "";

    Attempt(Program program, Map<String, Object> request) {
        this.program = program;
        this.request = request;
        this.step = String.valueOf(request.get("step"));
    }

    /** How it ended. */
    byte[] answer() {
        return answer;
    }

    /** What of it may be left in the process; empty if nothing is. */
    String left() {
        return left;
    }

    /** Runs it to its end. */
    void run() {
        Environment environment = new Environment();
        if (request.get("env") instanceof List<?> variables) {
            for (Object each : variables) {
                Map<?, ?> variable = (Map<?, ?>) each;
                environment.set((String) variable.get("name"), (String) variable.get("value"));
            }
        }
        environment.set("CITADEL_STEP", step);
        environment.set("CITADEL_ATTEMPT", String.valueOf(request.get("attempt")));
        Thread thread = new Thread(() -> answer = attempt(), "main");
        thread.setContextClassLoader(program.loader());
        Signal.handle(new Signal("TERM"), signal -> thread.interrupt()); // a cancellation: it has the grace to end in its own way
        thread.start();
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException nobody) {
                // nobody knows this thread
            }
        }
        // Threads have numbers in the order in which they were made, also those that have ended since.
        if (new Thread().getId() != thread.getId() + 1) left = "threads were made";
        if (broken) left = "the JVM ran out of something";
        environment.restore();
        if (answer == null) answer = failure("Error", "the thread of the step ended without a word", List.of(), null);
    }

    private byte[] attempt() {
        try {
            return success(Output.encode(call()));
        } catch (Output.Invalid invalid) {
            return failure("InvalidOutput", invalid.getMessage(), List.of(), null);
        } catch (InvalidCode invalid) {
            return failure("InvalidCode", "step " + step + ": " + invalid.getMessage(), List.of(), null);
        } catch (Throwable thrown) {
            broken = thrown instanceof VirtualMachineError;
            return failure("Error", Trace.describe(thrown), Trace.frames(thrown, program, Trace.file(step)), null);
        }
    }

    /** Calls main; throws what it throws. */
    @SuppressWarnings("rawtypes") // the type of the call is exactly this
    private Object call() throws Throwable {
        Class<?> type = program.loader().loadClass(program.entry());
        Method main = null;
        for (Method method : type.getDeclaredMethods()) {
            if (Entry.fits(method)) main = method;
        }
        if (main == null) throw new InvalidCode("class " + program.entry() + " has no main, " + Entry.WANTED);
        main.setAccessible(true);
        // Not by reflection, for whose calls a JVM that has just started makes classes.
        MethodHandle handle = MethodHandles.lookup().unreflect(main);
        if (main.getParameterCount() == 0) return (Object) handle.asType(MethodType.methodType(Object.class)).invokeExact();
        Map<?, ?> input = (Map<?, ?>) request.get("input");
        return (Object) handle.asType(MethodType.methodType(Object.class, Map.class)).invokeExact((Map) (input == null ? new java.util.LinkedHashMap<>() : input));
    }

    private static byte[] success(String output) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        bytes.write('S');
        bytes.writeBytes(output.getBytes(StandardCharsets.UTF_8));
        return bytes.toByteArray();
    }

    /** The failure that the protocol wants. */
    static byte[] failure(String reason, String message, List<String> traceback, Integer exitCode) {
        Map<String, Object> told = new java.util.LinkedHashMap<>(Map.of("reason", reason, "message", Trace.printable(message), "traceback", traceback));
        if (exitCode != null) told.put("exitCode", exitCode);
        return ("F" + Output.encode(told)).getBytes(StandardCharsets.UTF_8);
    }

    /** The code is not what a step's code must be. */
    static final class InvalidCode extends Exception {
        private static final long serialVersionUID = 1;

        InvalidCode(String message) {
            super(message);
        }
    }
}

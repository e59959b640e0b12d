// Run by `java` from its source. Holds the JVM and its compiler, both already awake,
// until the program is there; then compiles and runs that in the same JVM.
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.Tree;
import com.sun.source.util.JavacTask;
import com.sun.tools.javac.api.BasicJavacTask;
import com.sun.tools.javac.api.ClientCodeWrapper;
import com.sun.tools.javac.api.JavacTaskPool;
import com.sun.tools.javac.util.Context;
import com.sun.tools.javac.util.Log;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TimeZone;
import java.util.stream.Stream;
import javax.lang.model.element.Element;
import javax.lang.model.element.ElementKind;
import javax.lang.model.element.Modifier;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticListener;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.ToolProvider;

class Runner {
    static final String MESSAGE = "/proc/self/fd/3";
    static final String NOTE = "/proc/self/fd/4";
    static final Path FOLDER = Path.of("/sandbox");
    static final Path PROGRAM = FOLDER.resolve("main.java");
    static final String AGAIN = "SANDBOXD_AGAIN=1";
    /** KiB. In less there is no room for another JVM beside this one. */
    static final int MEMORY_OF_TWO = 256 << 10;

    static final List<String> OPTIONS =
        List.of("-d", "/tmp/classes", "-sourcepath", "/sandbox", "-g", "-proc:none");
    static final StandardJavaFileManager FILES =
        ToolProvider.getSystemJavaCompiler().getStandardFileManager(null, null, null);
    /** A second compilation finds in it what the first has read of the JDK. */
    static final JavacTaskPool POOL = new JavacTaskPool(1);
    static final String WARM_UP =
        "package sandboxd; import java.util.*;"
        + " class sandboxd { record Pair(int a, String b) {} static void f(String... words) {"
        + " List<Pair> pairs = new ArrayList<>(); Map<String, Integer> counts = new HashMap<>();"
        + " for (String word : words) counts.merge(word, 1, Integer::sum);"
        + " counts.forEach((word, count) -> pairs.add(new Pair(count, word)));"
        + " System.out.println(\"pairs: \" + pairs.size()); } }";

    static volatile boolean failed;

    /** The text of a file, which may hold a public class of any name if it is the program. */
    static class Source extends SimpleJavaFileObject {
        final Path path;
        final String text;

        Source(Path path, String text) {
            super(path.toUri(), Kind.SOURCE);
            this.path = path;
            this.text = text;
        }

        @Override public String getName() {
            return path.toString();
        }

        @Override public CharSequence getCharContent(boolean ignoreEncodingErrors) {
            return text;
        }

        @Override public boolean isNameCompatible(String name, Kind kind) {
            return kind == Kind.SOURCE && (path.equals(PROGRAM) || super.isNameCompatible(name, kind));
        }
    }

    /** The program's main thread. Loaded as a hidden class, whose frames no trace has. */
    static class Main extends Thread {
        final MethodHandle main;
        final String[] arguments;

        Main(MethodHandle main, String[] arguments) {
            super("main");
            this.main = main;
            this.arguments = arguments;
        }

        @Override public void run() {
            try {
                main.invokeExact(arguments);
            } catch (Throwable error) {
                failed = true;
                error.setStackTrace(withoutRunner(error.getStackTrace()));
                Runner.<RuntimeException>rethrow(error);
            }
        }
    }

    /** An OutOfMemoryError has the frames that are hidden elsewhere. */
    static StackTraceElement[] withoutRunner(StackTraceElement[] frames) {
        int end = frames.length;
        while (end > 0 && frames[end - 1].getClassName().matches("Runner.Main/.*|java.lang.invoke.*"))
            end--;
        return Arrays.copyOf(frames, end);
    }

    @SuppressWarnings("unchecked")
    static <E extends Throwable> void rethrow(Throwable error) throws E {
        throw (E) error;
    }

    /** The program's text first, and with it that of every other source. */
    static List<Source> sources() throws IOException {
        List<Source> sources = new ArrayList<>(List.of(new Source(PROGRAM, Files.readString(PROGRAM))));
        try (Stream<Path> paths = Files.walk(FOLDER)) {
            for (Path path : (Iterable<Path>) paths::iterator)
                if (path.toString().endsWith(".java") && !path.equals(PROGRAM))
                    sources.add(new Source(path, Files.readString(path)));
        }
        return sources;
    }

    /** What the compiler says, in the words and with the counts of `javac`. */
    static class Words implements DiagnosticListener<JavaFileObject> {
        final StringBuilder text = new StringBuilder();
        Context context;
        int errors, warnings;

        @Override public void report(Diagnostic<? extends JavaFileObject> found) {
            if (found.getKind() == Diagnostic.Kind.ERROR)
                errors++;
            else if (found.getKind() != Diagnostic.Kind.NOTE)
                warnings++;
            text.append(Log.instance(context).getDiagnosticFormatter()
                .format(((ClientCodeWrapper.DiagnosticSourceUnwrapper) found).d, Locale.getDefault()));
            text.append('\n');
        }

        @Override public String toString() {
            return text + counted(errors, "error") + counted(warnings, "warning");
        }

        static String counted(int count, String kind) {
            return count == 0 ? "" : count + " " + kind + (count == 1 ? "\n" : "s\n");
        }
    }

    /** Returns the class to start, "" if there is none, or null if the texts do not compile.
     *  After errors a pool is of no more use. */
    static String compile(JavacTaskPool pool, List<Source> sources, Words words) {
        String main = pool.getTask(null, FILES, words, OPTIONS, null, sources, task -> generate(task, words));
        return words.errors == 0 ? main : null;
    }

    static String generate(JavacTask task, Words words) {
        try {
            words.context = ((BasicJavacTask) task).getContext();
            String main = "";
            Set<String> own = new HashSet<>();
            for (CompilationUnitTree file : task.parse())
                if (file.getSourceFile().getName().equals(PROGRAM.toString()))
                    file.getTypeDecls().forEach(type -> own.add(nameOf(file, type)));
            for (Element type : task.analyze())
                if (own.contains(type.toString()) && hasMain(type) && (main.isEmpty() || type.getModifiers().contains(Modifier.PUBLIC)))
                    main = type.toString();
            task.generate();
            return main;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    static String nameOf(CompilationUnitTree file, Tree type) {
        String name = type instanceof ClassTree ? ((ClassTree) type).getSimpleName().toString() : "";
        return file.getPackageName() == null ? name : file.getPackageName() + "." + name;
    }

    static boolean hasMain(Element type) {
        return type.getEnclosedElements().stream().anyMatch(member ->
            member.getKind() == ElementKind.METHOD && member.toString().equals("main(java.lang.String[])")
            || member.toString().equals("main(java.lang.String...)"));
    }

    /** Java has no way to set a variable: this is what System.getenv looks into. */
    @SuppressWarnings("unchecked")
    static void setEnvironment(List<String> pairs) throws ReflectiveOperationException {
        Field field = Class.forName("java.lang.ProcessEnvironment")
            .getDeclaredField("theUnmodifiableEnvironment");
        field.setAccessible(true);
        Object view = field.get(null);
        Field behind = view.getClass().getDeclaredField("m");
        behind.setAccessible(true);
        for (String pair : pairs) {
            String[] parts = pair.split("=", 2);
            ((Map<String, String>) behind.get(view)).put(parts[0], parts[1]);
            if (parts[0].equals("TZ"))
                TimeZone.setDefault(TimeZone.getTimeZone(parts[1]));
        }
    }

    /** Whether it may: they get what the JVM itself has started with, which none can change. */
    static boolean startsChildren(List<Source> sources) {
        return sources.stream().anyMatch(source ->
            source.text.contains("ProcessBuilder") || source.text.contains("getRuntime"));
    }

    /** KiB, as the run's own limit. */
    static long memory() throws IOException {
        return Long.parseLong(Files.readString(Path.of("/proc/meminfo")).split("\\s+", 3)[1]);
    }

    /** The options of a JVM for the limits that /proc tells of. */
    static List<String> limits() throws IOException {
        int processors = Files.readString(Path.of("/proc/cpuinfo")).split("(?m)^processor\\b", -1).length - 1;
        return List.of("-XX:MaxRAM=" + memory() + "k", "-XX:ActiveProcessorCount=" + processors);
    }

    /** Another JVM finds the environment when it starts, and the arguments in a file. It has
     *  the limits of this one, but for those that are given. */
    static int startAgain(String[] arguments, List<String> limits) throws Exception {
        Path message = Path.of("/tmp/message");
        StringBuilder text = new StringBuilder().append(arguments.length).append('\0');
        for (String argument : arguments)
            text.append(argument).append('\0');
        Files.writeString(message, text);
        String script = "unset PWD; exec \"$@\" 3<\"$0\" 4>/proc/$PPID/fd/4";
        List<String> command = new ArrayList<>(List.of("sh", "-c", script, message.toString()));
        String classPath = System.getenv("CLASSPATH");
        for (String word : Files.readString(Path.of("/proc/self/cmdline")).split("\0")) {
            boolean isClassPath = word.startsWith("/tmp/classes:");
            command.add(isClassPath && classPath != null ? word + ":" + classPath : word);
            if (isClassPath)
                command.addAll(limits);
        }
        ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
        builder.environment().remove("SANDBOXD_AGAIN");
        return builder.start().waitFor();
    }

    public static void main(String[] none) throws Throwable {
        compile(POOL, List.of(new Source(PROGRAM, WARM_UP)), new Words());
        List<String> limitsAtStart = limits();
        OutputStream note = new FileOutputStream(NOTE);
        note.write('\n');
        String[] fields = Files.readString(Path.of(MESSAGE)).split("\0", -1);
        int count = Integer.parseInt(fields[0]);
        String[] arguments = Arrays.copyOfRange(fields, 1, 1 + count);
        List<String> variables = Arrays.asList(fields).subList(1 + count, fields.length - 1);
        setEnvironment(variables);
        List<Source> sources = sources();
        List<String> limits = limits();
        if (limits.equals(limitsAtStart) || memory() < MEMORY_OF_TWO)
            limits = List.of();
        if (!limits.isEmpty() || variables.contains(AGAIN) || !variables.isEmpty() && startsChildren(sources))
            System.exit(startAgain(arguments, limits));

        Words words = new Words();
        String name = compile(POOL, sources, words);
        if (name == null && sources.size() > 1) { // those that it does not use need not compile
            words = new Words();
            name = compile(new JavacTaskPool(1), sources.subList(0, 1), words);
        }
        System.err.print(words);
        if (name == null) {
            note.write("compile\n".getBytes());
            System.exit(1);
        }
        note.close();
        if (name.isEmpty()) {
            System.err.println("error: no class in " + PROGRAM + " has a main method");
            System.exit(1);
        }
        start(name, arguments);
    }

    static void start(String name, String[] arguments) throws Throwable {
        MethodHandles.Lookup lookup = MethodHandles.lookup();
        ClassLoader loader = ClassLoader.getSystemClassLoader();
        MethodHandle main = MethodHandles.privateLookupIn(loader.loadClass(name), lookup)
            .findStatic(loader.loadClass(name), "main", MethodType.methodType(void.class, String[].class));
        byte[] code = Runner.class.getResourceAsStream("Runner$Main.class").readAllBytes();
        Thread thread = (Thread) lookup.defineHiddenClass(code, true).lookupClass()
            .getDeclaredConstructor(MethodHandle.class, String[].class)
            .newInstance(main, arguments);
        thread.setContextClassLoader(loader);
        Thread.currentThread().setName("launcher");
        thread.start();
        thread.join();
        if (failed) {
            // Ends this JVM with 1, as an error of the main thread does, once all others end.
            Thread.currentThread().setUncaughtExceptionHandler((self, error) -> {});
            throw new Error();
        }
    }
}

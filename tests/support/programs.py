"""The same small programs in every language."""

from __future__ import annotations

from typing import NamedTuple

from sandboxd_client import RunResult


class Programs(NamedTuple):
    """Those of one language."""

    hello: str
    arguments: str
    """Prints its arguments, a line each."""
    environment: str
    """Prints the variable GREETING."""
    stdin: str
    """Prints all of stdin."""
    fails: str
    """Exits with 7 after writing to both streams."""
    crashes: str
    """Fails on line 3 in a way that the language reports."""
    place: str
    """How the language names that line."""
    converses: str
    """Prints "one", waits for a line of stdin, prints "two"."""


STANDARD = {
    "python": Programs(
        hello='print("hello")',
        arguments='import sys\nprint(*sys.argv[1:], sep="\\n")',
        environment='import os; print(os.environ["GREETING"])',
        stdin="import sys; sys.stdout.write(sys.stdin.read())",
        fails='import sys\nprint("out"); print("err", file=sys.stderr); sys.exit(7)',
        crashes="def f():\n    return (\n        1 / 0)\nf()",
        place='/sandbox/main.py", line 3',
        converses='print("one"); input(); print("two")',
    ),
    "javascript": Programs(
        hello='console.log("hello")',
        arguments='console.log(process.argv.slice(2).join("\\n"))',
        environment="console.log(process.env.GREETING)",
        stdin="process.stdin.pipe(process.stdout)",
        fails='console.log("out"); console.error("err"); process.exitCode = 7',
        crashes="function f() {\n  return (\n    null.x);\n}\nf();",
        place="/sandbox/main.js:3",
        converses=(
            'console.log("one"); process.stdin.once("data", () => {'
            ' console.log("two"); process.exit() })'
        ),
    ),
    "bash": Programs(
        hello="echo hello",
        arguments='printf "%s\\n" "$@"',
        environment='echo "$GREETING"',
        stdin="cat",
        fails="echo out; echo err >&2; exit 7",
        crashes="f() {\n  :\n  nosuchcommand\n}\nf",
        place="/sandbox/main.sh: line 3",
        converses="echo one; read -r line; echo two",
    ),
    "sh": Programs(
        hello="echo hello",
        arguments='printf "%s\\n" "$@"',
        environment='echo "$GREETING"',
        stdin="cat",
        fails="echo out; echo err >&2; exit 7",
        crashes=":\n:\nnosuchcommand",
        place="/sandbox/main.sh: 3",
        converses="echo one; read -r line; echo two",
    ),
    "ruby": Programs(
        hello='puts "hello"',
        arguments="puts ARGV",
        environment='puts ENV["GREETING"]',
        stdin="$stdout.write($stdin.read)",
        fails='puts "out"; warn "err"; exit 7',
        crashes='def f\n  _ = 1\n  raise "no"\nend\nf',
        place="/sandbox/main.rb:3",
        converses='puts "one"; $stdin.gets; puts "two"',
    ),
    "go": Programs(
        hello='package main\nimport "fmt"\nfunc main() { fmt.Println("hello") }',
        arguments=(
            'package main\nimport ("fmt"; "os")\n'
            "func main() { for _, a := range os.Args[1:] { fmt.Println(a) } }"
        ),
        environment=(
            'package main\nimport ("fmt"; "os")\nfunc main() { fmt.Println(os.Getenv("GREETING")) }'
        ),
        stdin='package main\nimport ("io"; "os")\nfunc main() { io.Copy(os.Stdout, os.Stdin) }',
        fails=(
            'package main\nimport ("fmt"; "os")\n'
            'func main() { fmt.Println("out"); fmt.Fprintln(os.Stderr, "err"); os.Exit(7) }'
        ),
        crashes="package main\nfunc main() {\n\tvar p *int; *p = 1\n}",
        place="/sandbox/main.go:3",
        converses=(
            'package main\nimport ("bufio"; "fmt"; "os")\n'
            'func main() { fmt.Println("one"); bufio.NewReader(os.Stdin).ReadString(10); '
            'fmt.Println("two") }'
        ),
    ),
}
"""Of those whose images are there from the beginning."""

MORE = {
    "perl": Programs(
        hello='print "hello\\n";',
        arguments='print "$_\\n" for @ARGV;',
        environment='print "$ENV{GREETING}\\n";',
        stdin="print while <STDIN>;",
        fails='print "out\\n"; print STDERR "err\\n"; exit 7;',
        crashes="sub f {\n    my $x = shift;\n    die 'no';\n}\nf(1);",
        place="/sandbox/main.pl line 3.",
        converses='$| = 1; print "one\\n"; <STDIN>; print "two\\n";',
    ),
    "php": Programs(
        hello='<?php echo "hello\\n";',
        arguments='<?php foreach (array_slice($argv, 1) as $each) echo $each, "\\n";',
        environment='<?php echo getenv("GREETING"), "\\n";',
        stdin="<?php fpassthru(STDIN);",
        fails='<?php echo "out\\n"; fwrite(STDERR, "err\\n"); exit(7);',
        crashes='<?php\nfunction f() {\n    throw new Exception("no");\n}\nf();',
        place="/sandbox/main.php:3",
        converses='<?php echo "one\\n"; fgets(STDIN); echo "two\\n";',
    ),
    "lua": Programs(
        hello='print("hello")',
        arguments="for _, each in ipairs(arg) do print(each) end",
        environment='print(os.getenv("GREETING"))',
        stdin='io.write(io.read("a"))',
        fails='print("out") io.stderr:write("err\\n") os.exit(7)',
        crashes="local function f(x)\n    local y = x\n    return y.z\nend\nf()",
        place="lua: /sandbox/main.lua:3:",
        converses='io.stdout:setvbuf("no") print("one") io.read() print("two")',
    ),
    "r": Programs(
        hello='cat("hello\\n")',
        arguments='cat(paste0(commandArgs(trailingOnly = TRUE), "\\n"), sep = "")',
        environment='cat(Sys.getenv("GREETING"), "\\n", sep = "")',
        stdin='writeLines(readLines(file("stdin")))',
        fails='cat("out\\n"); message("err"); quit(status = 7)',
        crashes='f <- function(x) {\n    y <- x\n    y + "a"\n}\nf(1)',
        place="/sandbox/main.R#3",
        converses='cat("one\\n"); invisible(readLines(file("stdin"), n = 1)); cat("two\\n")',
    ),
    "sqlite": Programs(
        hello=".print hello",
        arguments=(
            ".headers off\nSELECT value FROM temp.sqlite_parameters "
            "ORDER BY CAST(substr(key, 2) AS INTEGER);"
        ),
        environment=".shell printenv GREETING",
        stdin=(
            ".headers off\nCREATE TABLE lines(line);\n.import /dev/stdin lines\n"
            "SELECT line FROM lines;"
        ),
        fails=".print out\n.shell echo err >&2\n.exit 7",
        crashes="SELECT 1;\n\nSELECT nosuch;",
        place="near line 3: no such column: nosuch",
        converses=".print one\n.shell read -r line\n.print two",
    ),
    "typescript": Programs(
        hello='const word: string = "hello"; console.log(word);',
        arguments='console.log(process.argv.slice(2).join("\\n"));',
        environment="console.log(process.env.GREETING);",
        stdin="process.stdin.pipe(process.stdout);",
        fails='console.log("out"); console.error("err"); process.exitCode = 7;',
        crashes=(
            "interface Box { word?: string }\nfunction f(box: Box): number {\n"
            "  return (box.word as string).length;\n}\nf({});"
        ),
        place="/sandbox/main.ts:3",
        converses=(
            'console.log("one"); process.stdin.once("data", () => {'
            ' console.log("two"); process.exit(); });'
        ),
    ),
    "java": Programs(
        hello=(
            "public class Hello { public static void main(String[] args) {"
            ' System.out.println("hello"); } }'
        ),
        arguments=(
            "class Main { public static void main(String... args) {"
            " for (String each : args) System.out.println(each); } }"
        ),
        environment=(
            "class Main { public static void main(String[] args) {"
            ' System.out.println(System.getenv("GREETING")); } }'
        ),
        stdin=(
            "class Main { public static void main(String[] args) throws java.io.IOException {"
            " System.in.transferTo(System.out); } }"
        ),
        fails=(
            "class Main { public static void main(String[] args) {"
            ' System.out.println("out"); System.err.println("err"); System.exit(7); } }'
        ),
        crashes=(
            "class Main {\n  static int f(int[] x) {\n    return x[1];\n  }\n"
            "  public static void main(String[] args) { f(new int[1]); }\n}"
        ),
        place="at Main.f(main.java:3)",
        converses=(
            "class Main { public static void main(String[] args) throws java.io.IOException {"
            ' System.out.println("one"); System.in.read(); System.out.println("two"); } }'
        ),
    ),
    "c": Programs(
        hello='#include <stdio.h>\nint main(void) { puts("hello"); }',
        arguments=(
            "#include <stdio.h>\nint main(int argc, char **argv) {"
            " for (int i = 1; i < argc; i++) puts(argv[i]); }"
        ),
        environment=(
            '#include <stdio.h>\n#include <stdlib.h>\nint main(void) { puts(getenv("GREETING")); }'
        ),
        stdin=(
            "#include <stdio.h>\n"
            "int main(void) { for (int c; (c = getchar()) != EOF;) putchar(c); }"
        ),
        fails=(
            '#include <stdio.h>\nint main(void) { puts("out"); fputs("err\\n", stderr); return 7; }'
        ),
        crashes="#include <assert.h>\nint main(void) {\n    assert(1 > 2);\n}",
        place="main: /sandbox/main.c:3: main: Assertion",
        converses=(
            '#include <stdio.h>\nint main(void) { setvbuf(stdout, 0, _IONBF, 0); puts("one");'
            ' getchar(); puts("two"); }'
        ),
    ),
    "cpp": Programs(
        hello='#include <iostream>\nint main() { std::cout << "hello" << std::endl; }',
        arguments=(
            "#include <bits/stdc++.h>\nint main(int argc, char **argv) {"
            " for (std::string each : std::vector<std::string>(argv + 1, argv + argc))"
            ' std::cout << each << "\\n"; }'
        ),
        environment=(
            "#include <cstdlib>\n#include <iostream>\n"
            'int main() { std::cout << std::getenv("GREETING") << "\\n"; }'
        ),
        stdin="#include <iostream>\nint main() { std::cout << std::cin.rdbuf(); }",
        fails=(
            '#include <iostream>\nint main() { std::cout << "out\\n"; std::cerr << "err\\n";'
            " return 7; }"
        ),
        crashes="#include <cassert>\nint main() {\n    assert(1 > 2);\n}",
        place="main: /sandbox/main.cpp:3: int main(): Assertion",
        converses=(
            "#include <iostream>\n#include <string>\n"
            'int main() { std::cout << "one" << std::endl; std::string line;'
            ' std::getline(std::cin, line); std::cout << "two" << std::endl; }'
        ),
    ),
    "rust": Programs(
        hello='fn main() { println!("hello"); }',
        arguments='fn main() { for each in std::env::args().skip(1) { println!("{}", each); } }',
        environment='fn main() { println!("{}", std::env::var("GREETING").unwrap()); }',
        stdin=(
            "use std::io;\nfn main() { io::copy(&mut io::stdin(), &mut io::stdout()).unwrap(); }"
        ),
        fails='fn main() { println!("out"); eprintln!("err"); std::process::exit(7); }',
        crashes='fn main() {\n    let v: Vec<i32> = Vec::new();\n    println!("{}", v[3]);\n}',
        place="/sandbox/main.rs:3:",
        converses=(
            'fn main() { println!("one"); let mut line = String::new();'
            ' std::io::stdin().read_line(&mut line).unwrap(); println!("two"); }'
        ),
    ),
}
"""Of those whose images are made on demand."""


def text(result: RunResult) -> str:
    """All that it printed."""
    assert isinstance(result.stdout, str)
    assert isinstance(result.stderr, str)
    return result.stdout + result.stderr

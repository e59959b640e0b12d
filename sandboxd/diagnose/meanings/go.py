"""What the errors of Go's compiler and the panics of its programs mean."""

from __future__ import annotations

from sandboxd.diagnose.meaning import Meaning, rule

STANDARD = frozenset(
    """
    archive/tar archive/zip bufio bytes cmp compress/gzip compress/zlib container/heap
    container/list container/ring context crypto crypto/aes crypto/hmac crypto/md5 crypto/rand
    crypto/rsa crypto/sha1 crypto/sha256 crypto/sha512 crypto/tls database/sql embed encoding
    encoding/base64 encoding/binary encoding/csv encoding/gob encoding/hex encoding/json
    encoding/xml errors expvar flag fmt go/ast go/parser hash hash/crc32 hash/fnv html
    html/template image image/color image/png index/suffixarray io io/fs io/ioutil log log/slog
    maps math math/big math/bits math/cmplx math/rand mime net net/http net/netip net/url os
    os/exec os/signal os/user path path/filepath reflect regexp runtime runtime/debug slices sort
    strconv strings sync sync/atomic syscall testing text/tabwriter text/template time unicode
    unicode/utf16 unicode/utf8 unsafe
    """.split()  # noqa: SIM905 - a list of quoted names shows less
)

PREDECLARED = frozenset(
    """
    any bool byte comparable complex64 complex128 error float32 float64 int int8 int16 int32
    int64 rune string uint uint8 uint16 uint32 uint64 uintptr true false iota nil append cap
    clear close complex copy delete imag len make max min new panic print println real recover
    """.split()  # noqa: SIM905 - the same
)

_PACKAGES = "|".join(sorted(name for name in STANDARD if "/" not in name))

_COMPILING = (
    rule(
        rf"^compile error: undefined: (?P<package>{_PACKAGES})$",
        "The package `{package}` is used and not imported.",
        'Add `import "{package}"`.',
    ),
    rule(
        r"^compile error: undefined: (?P<package>\w+)\.(?P<name>\w+)",
        "The package `{package}` has nothing called `{name}`.",
        "Check the spelling; what a package exports begins with a capital letter.",
    ),
    rule(
        r"^compile error: undefined: (?P<name>\w+)",
        "The program uses the name `{name}`, which is declared nowhere.",
        "Declare `{name}`, with := if it is a variable, or import the package that has it.",
    ),
    rule(
        r'^compile error: "(?P<package>.*)" imported (?:as \w+ )?and not used',
        "The package `{package}` is imported and not used, which Go does not allow.",
        "Remove the import.",
    ),
    rule(
        r"^compile error: (?:declared and not used: (?P<new>\w+)|"
        r"(?P<old>\w+) declared (?:and|but) not used)",
        "The variable `{new}{old}` is declared and never used, which Go does not allow.",
        "Remove it, use it, or write `_ = {new}{old}`.",
    ),
    rule(
        r"^compile error: .*mismatched types (?P<one>.*) and (?P<other>.*)\)",
        "An operation has values of two types, {one} and {other}: Go converts none by itself.",
        "Convert one of them, as in float64(x) or string(x).",
    ),
    rule(
        r"^compile error: cannot use .* as (?P<type>.*?) value in (?P<where>[^:]*)"
        r": .*missing method (?P<method>\w+)",
        "The value does not fulfil {type}: it has no method `{method}`.",
        "Add the method `{method}`; see whether it belongs to the pointer, and pass &x.",
    ),
    rule(
        r"^compile error: cannot use (?P<value>.*) as (?P<type>.*?) value in (?P<where>[^:]*)",
        "A value of another type stands where {type} is needed, in {where}.",
        "Convert it, or change one of the two types.",
    ),
    rule(
        r"^compile error: (?P<what>not enough|too many) arguments in call to (?P<name>[\w.]+)",
        "The call of `{name}` has {what} arguments.",
        "Compare the call with the definition: stderr shows what it has and what it wants.",
    ),
    rule(
        r"^compile error: (?P<what>not enough|too many) return values",
        "A return has {what} values for what the function is declared to give.",
        "Compare the return with the function's result types.",
    ),
    rule(
        r"^compile error: assignment mismatch: (?P<left>.*) but (?P<right>.*)",
        "An assignment has {left} on its left, but {right}.",
        "Take all of the results, as in `value, err := f()`; `_` drops one.",
    ),
    rule(
        r"^compile error: missing return",
        "The function has a result, and a way through it ends without a return.",
        "Add a return, or a panic, at the end of the function.",
    ),
    rule(
        r"^compile error: .* undefined \(type (?P<type>.*) has no field or method (?P<name>\w+)",
        "The type `{type}` has neither a field nor a method called `{name}`.",
        "Check the spelling: upper and lower case count.",
    ),
    rule(
        r"^compile error: (?P<what>\w+) redeclared in this block",
        "`{what}` is declared twice in one package, maybe in two of its files: all Go files of "
        "a folder are one package.",
        "Remove or rename one, or put the file into a folder of its own.",
    ),
    rule(
        r"^compile error: (?P<what>[\w.]+) not exported by package|"
        r"^compile error: undefined: .*\(but have ",
        "What a package exports begins with a capital letter.",
        "Write its name with one, where it is declared and where it is used.",
    ),
    rule(
        r"^(?:build|compile) error: .*import cycle not allowed",
        "Packages import each other in a circle, which Go does not allow.",
        "Move what both need into a third package.",
    ),
    rule(
        r"^(?:build|compile) error: .*use of internal package",
        "A package within a folder `internal` can be imported from beside that folder only.",
        "Move it out of `internal`.",
    ),
    rule(
        r"^build error: .*found packages (?P<packages>.*) in ",
        "The Go files of one folder are of several packages: {packages}.",
        "Give them all the same `package`, or put each package into a folder of its own.",
    ),
    rule(
        r"^build error: .*requires go (?:>= )?(?P<version>[\d.]+)",
        "The go.mod asks for Go {version}, and this image has an older one.",
        "Write the version of the image, or an older one, after `go` in go.mod.",
    ),
    rule(
        r"^(?:build|compile) error: .*pattern (?P<pattern>\S+): no matching files",
        "`go:embed` names `{pattern}`, and there is no such file.",
        "Send the file along in `files`; its path is relative to the Go file.",
    ),
    rule(
        r"^build error: .*go\.mod",
        "The go.mod cannot be read.",
        "It needs a line `module NAME`, and one `go 1.21` or older.",
    ),
    rule(
        r"^link error: .*not package main",
        "The program is in a package of another name, and only `main` can be run.",
        "Begin the file with `package main`.",
    ),
    rule(
        r"^link error: .*main is undeclared",
        "There is no function `main`, with which a program begins.",
        "Add `func main() {{ ... }}`.",
    ),
    rule(
        r"^syntax error: package statement must be first",
        "A Go file begins with its package.",
        "Begin the file with `package main`.",
    ),
    rule(
        r"^syntax error: unexpected EOF",
        "The program ends within something: a brace or a parenthesis is never closed.",
        "Add the missing `}}` or `)`.",
    ),
    rule(
        r"^syntax error: unexpected semicolon or newline before \{",
        "An opening brace stands on a line of its own, where Go has already ended the statement.",
        "Put the `{{` at the end of the line before.",
    ),
    rule(
        r"^syntax error: non-declaration statement outside function",
        "A statement stands outside of every function.",
        "Put it into `func main`; outside, write `var x = ...` instead of :=.",
    ),
)

_RUNNING = (
    rule(
        r"^runtime error: index out of range \[(?P<index>-?\d+)\](?: with length (?P<length>\d+))?",
        "The index {index} is not in a slice, array or string of the length {length}: "
        "indices go from 0 to the length less 1.",
        "Check the index against len() first.",
    ),
    rule(
        r"^runtime error: slice bounds out of range",
        "A slice was cut past its end, or to an end before its start.",
        "Check the bounds against len() and cap() first.",
    ),
    rule(
        r"^runtime error: invalid memory address or nil pointer",
        "A nil pointer, interface or function was used as if there were something behind it.",
        "Check for nil, and for the error of the call that the value came from.",
    ),
    rule(
        r"^runtime error: integer divide by zero",
        "The program divides an integer by zero.",
        "Check the divisor before dividing.",
    ),
    rule(
        r"^runtime error: makeslice",
        "A slice of an impossible length was to be made.",
        "Print the length first: it is negative or far too large.",
    ),
    rule(
        r"^panic: assignment to entry in nil map",
        "The map was declared and never made: it can be read, and not written.",
        "Make it first, as in `m := map[string]int{{}}` or with make().",
    ),
    rule(
        r"^panic: interface conversion: (?P<what>.*)",
        "A type assertion does not hold: {what}.",
        "Ask for both results, as in `v, ok := x.(T)`, or use a type switch.",
    ),
    rule(
        r"^panic: (?P<what>close of closed|send on closed|close of nil) channel",
        "The program did a {what} channel.",
        "Let only the sender close a channel, and once.",
    ),
    rule(
        r'^panic: exec: "(?P<command>.*)": executable file not found',
        "There is no command `{command}` in this image.",
        "Do it with Go's own library instead of a command.",
    ),
    rule(
        r"^panic: open (?P<path>.*): no such file",
        "There is no file `{path}`. A run starts with an empty work folder /sandbox: it has "
        "only the program and the files that were sent with it.",
        "Send `{path}` along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^panic: (?:unexpected newline|EOF$|unexpected EOF)",
        "The program reads its input, and there is less of it than it expects, or none.",
        "Send what it should read as `stdin`.",
    ),
    rule(
        r"^panic: strconv\.(?P<function>\w+): parsing (?P<text>.*): ",
        "{function} was given {text}, which is no such number.",
        "Check the text, and handle the error.",
    ),
    rule(
        r"^fatal error: all goroutines are asleep",
        "Every goroutine waits for another: none can ever go on.",
        "See that each channel that is read is also written or closed, by another goroutine.",
        "See that each WaitGroup.Add has its Done, and each Lock its Unlock.",
    ),
    rule(
        r"^fatal error: concurrent map",
        "Several goroutines used one map at once, and one of them wrote to it.",
        "Guard it with a sync.Mutex, or use sync.Map.",
    ),
    rule(
        r"^fatal error: stack overflow|^runtime error: .*stack",
        "A function calls itself, directly or through others, and never stops.",
        "Check the case that ends the recursion: it is missing, or never reached.",
    ),
    rule(
        r"^panic: ",
        "The program panicked, and nothing recovered it.",
        "Look at the innermost line of the trace that is your own.",
        "Return an error instead, if this can happen in a right program.",
    ),
)

RULES = _COMPILING + _RUNNING

EXIT_CODES = {
    1: Meaning("log.Fatal ends with 1 after writing its message to stderr."),
    2: Meaning("A panic, or the flag package when it does not like the arguments, ends with 2."),
}

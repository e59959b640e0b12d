"""What Ruby's exceptions mean."""

from __future__ import annotations

from sandboxd.diagnose.meaning import rule

STANDARD = frozenset(
    """
    abbrev base64 benchmark bigdecimal cgi csv date delegate digest drb English erb etc fcntl
    fiddle fileutils find forwardable getoptlong io/console ipaddr irb json logger matrix monitor
    net/http objspace observer open-uri open3 openssl optparse ostruct pathname pp prettyprint
    prime pstore psych pty rdoc resolv ripper securerandom set shellwords singleton socket
    stringio strscan syslog tempfile time timeout tmpdir tsort uri weakref yaml zlib
    """.split()  # noqa: SIM905 - a list of quoted names shows less
)

KERNEL = frozenset(
    """
    puts print printf require require_relative raise loop lambda proc format sprintf gets rand
    sleep exit abort catch throw Integer Float String Array Hash Struct Set Time File Dir
    length size first last push shift unshift map each select reject reduce inject include? empty?
    upcase downcase capitalize strip split join reverse sort sort_by to_s to_i to_f to_a to_h
    start_with? end_with? each_with_index each_slice group_by flat_map zip compact uniq flatten
    merge keys values fetch delete dig sum min max round floor ceil times upto downto step
    """.split()  # noqa: SIM905 - the same
)

_LIBRARIES = {
    "JSON": "json",
    "Set": "set",
    "Time": "time",
    "Date": "date",
    "DateTime": "date",
    "CSV": "csv",
    "YAML": "yaml",
    "FileUtils": "fileutils",
    "OpenStruct": "ostruct",
    "SecureRandom": "securerandom",
    "BigDecimal": "bigdecimal",
    "StringIO": "stringio",
    "Benchmark": "benchmark",
    "Matrix": "matrix",
    "Prime": "prime",
    "Open3": "open3",
    "ERB": "erb",
    "Pathname": "pathname",
    "Digest": "digest",
    "Timeout": "timeout",
}

RULES = (
    *(
        rule(
            rf"^NameError: uninitialized constant {constant}\b",
            f"`{constant}` is in the library `{library}`, which was not loaded.",
            f'Add `require "{library}"` at the top.',
        )
        for constant, library in _LIBRARIES.items()
    ),
    rule(
        r"^NameError: uninitialized constant (?:\w+::)*(?P<name>\w+)",
        "There is no class or module `{name}` at this point.",
        "Define `{name}` first, or require the library that has it.",
    ),
    rule(
        r"^NameError: undefined local variable or method [`'](?P<name>\w+[?!]?)'",
        "The program uses the name `{name}`, which is neither a variable nor a method here.",
        "Define `{name}` before this line.",
        "A method does not see the variables around it: pass them to it as arguments.",
    ),
    rule(
        r"^NoMethodError: undefined method [`'](?P<method>.*?)' for nil",
        "`gets` gave nil, as it does when stdin is empty or at its end.",
        "Send what the program should read as `stdin`.",
        "Check for nil before using the line.",
        context=r"\b(?:gets|readline|STDIN\.read)\b",
    ),
    rule(
        r"^NoMethodError: undefined method [`'](?P<method>.*?)' for nil",
        "`{method}` was called on nil: what should be an object is not there.",
        "Find where the value comes from, and why it is nil there.",
        "Use `&.` if it may be absent.",
    ),
    rule(
        r"^NoMethodError: undefined method [`'](?P<name>.*?)' for (?P<object>.*)",
        "{object} has no method `{name}`.",
        "Look at `.methods` of the object, and check that it is what you think.",
    ),
    rule(
        r"^NoMethodError: (?P<kind>private|protected) method [`'](?P<method>.*?)' called",
        "`{method}` is {kind}: only the object itself may call it.",
        "Call a public method instead, or make this one public.",
    ),
    rule(
        r"^ZeroDivisionError: ",
        "The program divides an integer by zero.",
        "Check the divisor before dividing; use floats where a zero may come up.",
    ),
    rule(
        r"^ArgumentError: wrong number of arguments \((?P<count>.*)\)",
        "A method was called with the wrong number of arguments: {count}.",
        "Compare the call with the definition, which is the innermost level of the trace.",
    ),
    rule(
        r"^ArgumentError: missing keywords?: (?P<keywords>.*)",
        "A method was called without {keywords}.",
        "Pass it by its name in the call.",
    ),
    rule(
        r"^ArgumentError: invalid value for (?P<kind>\w+)\(\): (?P<text>.*)",
        "{kind}() was given {text}, which is no such number.",
        "Check the text first; to_i and to_f take what they can and never raise.",
    ),
    rule(
        r"^ArgumentError: comparison of",
        "Two values that have no order between them were compared, such as nil and a number.",
        "Print the values, and remove or convert what does not belong.",
    ),
    rule(
        r"^KeyError: key not found: (?P<key>.*)",
        "The hash has no key {key}.",
        "Print its keys: a symbol and a string are different ones.",
        "Pass fetch a default, or use [] if the key may be absent.",
    ),
    rule(
        r"^IndexError: ",
        "The index is outside of the array.",
        "Check its length first, or pass fetch a default.",
    ),
    rule(
        r"^TypeError: no implicit conversion of (?P<one>.*) into (?P<other>.*)",
        "Something of the class {one} stands where {other} is needed.",
        "Convert it: to_s, to_i, Integer(), or interpolate it in a string.",
    ),
    rule(
        r"^TypeError: nil can't be coerced|^TypeError: .*nil",
        "nil stands where a value is needed.",
        "Find where it comes from, and why it is nil there.",
    ),
    rule(
        r"^FrozenError: ",
        "The object is frozen: it cannot be changed.",
        "Change a copy of it, which dup makes, or build a new one.",
    ),
    rule(
        r"^SystemStackError: ",
        "A method calls itself, directly or through others, and never stops.",
        "Check the case that ends the recursion: it is missing, or never reached.",
        "Use a loop if it is meant to go deep.",
    ),
    rule(
        r"^Errno::ENOENT: .*No such file or directory - (?P<command>\S+)",
        "There is no command `{command}` in this image.",
        "Do it with Ruby's own library instead of a command.",
        context=r" (?:exec|system|spawn|`|popen|capture\w*) ",
    ),
    rule(
        r"^Errno::ENOENT: .* - (?P<path>.*)",
        "There is no file `{path}`. A run starts with an empty work folder /sandbox: it has "
        "only the program and the files that were sent with it.",
        "Send `{path}` along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^Errno::EACCES: ",
        "The file's own mode does not allow that.",
        "Change it first with File.chmod.",
    ),
    rule(
        r"^EOFError: ",
        "The program reads on where there is no more: no stdin was given, or it is at its end.",
        "Send what it should read as `stdin`.",
        "Or use `gets`, which gives nil there.",
    ),
    rule(
        r"^Errno::EPIPE: ",
        "The program wrote to a pipe or socket that nobody reads any more.",
        "Let the reader read to the end.",
    ),
    rule(
        r"^JSON::ParserError: ",
        "The text is not JSON.",
        "Print the text before parsing it; JSON wants double quotes, and no comma at the end.",
    ),
    rule(
        r"^Encoding::|^ArgumentError: invalid byte sequence",
        "The bytes are not text in the encoding that they are taken for.",
        "Name the right one with force_encoding or encode; use scrub to drop what does not fit.",
    ),
    rule(
        r"^NoMatchingPattern",
        "No `in` branch of a case fits the value.",
        "Add an else, or the pattern that is missing.",
    ),
    rule(
        r"^UncaughtThrowError: uncaught throw (?P<tag>.*)",
        "throw {tag} was called, and no catch({tag}) is around it.",
        "Put it within catch; to raise an error, use raise.",
    ),
    rule(
        r"^StopIteration: ",
        "`next` was called when nothing was left.",
        "Use each, or loop, which ends by itself there.",
    ),
    rule(
        r"^ThreadError: stopping only thread|^fatal: No live threads left",
        "Every thread waits for another: none can ever go on.",
        "See who should wake the one that waits, and that it does so before it ends.",
    ),
    rule(
        r"^Timeout::Error: ",
        "Something took longer than the program itself allows.",
        "Allow it more time, or do less of it at once.",
    ),
    rule(
        r"^SyntaxError: .*unexpected end-of-input|^SyntaxError: .*meets end of file",
        "The program ends within something: a block without its `end`, a bracket or a quote "
        "that is not closed.",
        "Add what is missing; indent the code to see which block has no `end`.",
    ),
    rule(
        r"^SyntaxError: .*unexpected `?'?end'?",
        "There is one `end` too many, or what it belongs to is wrong.",
        "Remove it, or look for the block above it.",
    ),
)

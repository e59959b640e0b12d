"""What the errors of shells and of their commands mean."""

from __future__ import annotations

import re

from sandboxd.diagnose.meaning import Meaning, rule

COMMANDS = frozenset(
    """
    awk base64 basename cat chmod comm cp curl cut date dd df diff dirname du echo env expr
    false file find fold free git grep head hostname id join jq kill less ln ls make md5sum
    mkdir mktemp mv nl od paste patch pgrep printf ps pwd read readlink rm rmdir sed seq set
    sha256sum shuf sleep sort split stat tac tail tar tee test time timeout touch tr tree true
    uname uniq unset unzip uptime wait wc xargs zip export local return shift source trap
    """.split()  # noqa: SIM905 - a list of quoted names shows less
)

SIGNALLED = (
    "Segmentation fault",
    "Killed",
    "Aborted",
    "Terminated",
    "Bus error",
    "Floating point exception",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Broken pipe",
    "Hangup",
    "Alarm clock",
)
"""How shells tell that a signal ended a command."""

OF_THE_SHELL = frozenset({126, 127})
"""Exit codes that a shell ends with for reasons of its own."""

KINDS = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"command not found$|: not found$", "command not found"),
        (r"(?i)^arithmetic expression|division by 0|error token is", "arithmetic error"),
        (r"(?i)syntax error|^unexpected EOF while looking", "syntax error"),
        (r"unbound variable|parameter not set", "unbound variable"),
        (r"[Pp]ermission denied", "permission denied"),
        (
            r"[Nn]o such file|can't cd to|Directory nonexistent|nonexistent directory",
            "no such file or directory",
        ),
        (r"Is a directory", "is a directory"),
        (r"[Bb]ad substitution", "bad substitution"),
        (r"readonly variable|is read only", "readonly variable"),
        (r"^\[\[?: |^test: ", "bad test"),
        (r"[Aa]rgument list too long", "argument list too long"),
        (r"[Rr]ead-only file system", "read-only file system"),
        (r"[Rr]esource temporarily unavailable|Cannot fork", "cannot fork"),
        (r"[Nn]etwork is unreachable|[Cc]onnection refused", "no connection"),
        (r"[Ii]llegal option|invalid option|bad option", "illegal option"),
    )
)
"""The shells' messages by the name that reports give them."""

_HAS = "The image has the shell, coreutils, grep, sed, git, curl, jq, make and the like."
_TESTS = 'Quote the variables and see that none is empty: [ "$x" = a ].'

RULES = (
    rule(
        r"^command not found: (?P<installer>apt|apt-get|apk|dnf|yum|pip3?|npm|gem|brew|sudo|su)\b",
        "There is no `{installer}` here: nothing can be installed while a program runs, "
        "which is an ordinary user.",
        "Do it with what the image has, or run the part in another language's image.",
        "Ask the operator for an image or a profile with what is needed.",
    ),
    rule(
        r"^command not found: (?P<fetcher>wget|ping|nc|ssh|telnet|dig|nslookup|host)\b",
        "There is no `{fetcher}` here. " + _HAS,
        "Send what the program needs along, in `files` or on stdin, instead of fetching it.",
        "With a network, where the run asked for one, use curl.",
    ),
    rule(
        r"^command not found: (?P<language>python3?|node|ruby|go|perl|java|php)\b",
        "The image has no `{language}`. " + _HAS,
        "Run that part as a program of its own, in the language `{language}`.",
    ),
    rule(
        r"^command not found: (?:\$'.*\\r'|[^:]*\r)",
        "The lines end as Windows ends them, and the shell takes the carriage return for a "
        "part of the command's name.",
        "Send the program with plain newlines.",
    ),
    rule(
        r"^command not found: (?P<bracket>\[\[?)(?:[^\s:]|:|$)",
        "`{bracket}` is a command: what follows it must be apart, and sh has no `[[`.",
        "Put spaces around the brackets and what they hold; use [ ] in sh, or run it as bash.",
    ),
    rule(
        r"^command not found: (?P<file>\.{0,2}/\S*):",
        "There is no file `{file}` to run. A run has only the files that were sent with it.",
        "Send it along in `files`, and call it by its right path.",
    ),
    rule(
        r"^command not found: (?P<name>[^\s:]+):",
        "There is no command or function `{name}`. " + _HAS,
        "Check the spelling; an assignment has no spaces around its `=`.",
        "Do it with what the image has, or in another language.",
    ),
    rule(
        r"^syntax error: .*(?:end of file unexpected|unexpected end of file)",
        "The program ends within something: an if, a loop, a case or a brace that is not "
        "closed. Lines that end in carriage returns do this too.",
        "Add the missing fi, done, esac or brace.",
        "Send the program with plain newlines.",
    ),
    rule(
        r"^syntax error: .*(?:unexpected EOF while looking for matching|[Uu]nterminated quoted)",
        "A quote or a bracket is opened and never closed.",
        "Close it; look above the line that is named, where it was opened.",
    ),
    rule(
        r"^syntax error: .* "
        r"(?:unexpected token [`'](?P<token>.*)'|\"?(?P<word>[^\"\s]+)\"? unexpected)",
        "`{token}{word}` stands where the shell does not expect it.",
        "Look at what comes before it: a missing `;`, `then` or `do`, or one too many.",
        "Quote it if it is meant as text.",
    ),
    rule(
        r"^unbound variable: (?P<name>\w+):",
        "`set -u` is on, and `{name}` has no value.",
        "Give it one, pass it in `env`, or write ${{{name}:-}} for an empty default.",
    ),
    rule(
        r"^permission denied: (?P<file>\.{0,2}/?\S*): ",
        "`{file}` may not be run: it is not marked as executable, or is a folder.",
        "Run it through its interpreter, as in `bash file`, or `chmod +x` it first.",
    ),
    rule(
        r"^no such file or directory: ",
        "The shell found no such file or folder. A run starts with an empty work folder "
        "/sandbox: it has only the program and the files that were sent with it.",
        "Send the file along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^is a directory: ",
        "A folder is called as if it were a command, or written as if it were a file.",
        "Name a file in it.",
    ),
    rule(
        r"^arithmetic error: .*division by (?:0|zero)",
        "An arithmetic expression divides by zero.",
        "Check the divisor first: a variable without a value counts as 0.",
    ),
    rule(
        r"^arithmetic error: ",
        "An arithmetic expression cannot be understood.",
        "Print its variables first: one may be empty, or no whole number.",
    ),
    rule(
        r"^bad test: ",
        "A test cannot be understood: a variable in it is empty, of several words, or no number.",
        _TESTS,
        "-eq and its like compare whole numbers, = compares texts.",
    ),
    rule(
        r"^bad substitution",
        "Something between ${{ and }} is not understood by this shell.",
        "Variables have only letters, digits and underscores; run it as bash if it needs bash.",
    ),
    rule(
        r"^readonly variable: ",
        "The variable was declared read-only, and is given another value.",
        "Choose another name.",
    ),
    rule(
        r"^argument list too long: ",
        "All arguments of one command together are too large.",
        "Hand them on through a pipe to xargs, or in a file.",
    ),
    rule(
        r"^illegal option: ",
        "This shell does not know that option: sh has fewer than bash.",
        "Leave it out, or run it as bash.",
    ),
    rule(
        r"^(?P<command>[\w.+/-]+): (?:cannot \w+ '?)?(?P<path>[^':]*)'?: No such file or directory",
        "`{command}` found no `{path}`. A run starts with an empty work folder /sandbox: it "
        "has only the program and the files that were sent with it.",
        "Send it along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^error: (?P<what>.*?): (?P<complaint>.*)",
        "The shell stopped at `{what}`: {complaint}.",
        "Look at what this line expects: a variable that must be set, or other arguments.",
    ),
    rule(
        r"^(?P<command>[\w.+/-]+): (?:unrecognized|invalid|illegal) option",
        "`{command}` does not know one of its options.",
        "Look at `{command} --help`.",
    ),
)

EXIT_CODES = {
    1: Meaning(
        "The last command ended with 1. grep and diff do so without an error, when they find "
        "nothing or a difference; `set -e` ends the program there.",
        ("Run it with `set -x` to see which command was the last.",),
    ),
    2: Meaning("Many commands end with 2 when they do not like their arguments."),
    124: Meaning("`timeout` ends with 124 when the time that it was given is over."),
    126: Meaning("A command was found and could not be run."),
    127: Meaning("A command was not found."),
}

"""What Python's exceptions mean that come of files, processes, limits and syntax."""

from __future__ import annotations

from sandboxd.diagnose.meaning import Meaning, rule

_IMPORTS = (
    rule(
        r"^ImportError: cannot import name '(?P<name>\w+)' from partially initialized",
        "Two modules import each other, and `{name}` was not there yet.",
        "Import it within the function that uses it, or move it to a third module.",
    ),
    rule(
        r"^ImportError: attempted relative import with no known parent package",
        "The program itself is in no package, and only modules of one can import from it by a dot.",
        "Import it by its name: `import helper` for the file `helper.py` beside the program.",
    ),
    rule(
        r"^ImportError: cannot import name '(?P<part>\w+)' from '(?P<folder>[\w.]+)' \(unknown",
        "The folder of `{folder}` has no module `{part}`, and no `__init__.py` that names it.",
        "Send the file `{part}.py` of that folder along in `files`, or its `__init__.py`.",
    ),
    rule(
        r"^ImportError: cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)'",
        "The module `{module}` has nothing called `{name}`.",
        "Look at `dir()` of the module for what it has; the name may be of another version.",
    ),
    rule(
        r"^ModuleNotFoundError: No module named '[\w.]+'; '(?P<module>[\w.]+)' is not a package",
        "`{module}` is a single module: there are no others within it.",
        "Import the name from it instead, as in `from {module} import name`.",
        "See that no file of your own is called `{module}.py` and hides a package.",
    ),
    rule(
        r"^ImportError: (?P<library>\S+): cannot open shared object file",
        "A module needs the system library {library}, which this image does not have.",
        "Ask the operator for an image that has it.",
    ),
)

_FILES = (
    rule(
        r"^FileNotFoundError: .*: '(?P<command>[^']+)'",
        "There is no command `{command}` in this image.",
        "Do it with Python's own library instead of a command.",
        context=r"subprocess\.py|os\.exec|posix_spawn",
    ),
    rule(
        r"^FileNotFoundError: .*: '(?P<path>[^']+)'",
        "There is no file `{path}`. A run starts with an empty work folder /sandbox: it has "
        "only the program and the files that were sent with it.",
        "Send `{path}` along in `files`, or make it first.",
        "Check the path: relative ones start at /sandbox.",
    ),
    rule(
        r"^FileExistsError: ",
        "Something of that name is there already.",
        "Pass exist_ok=True for a folder, or choose another name.",
    ),
    rule(
        r"^(?:IsADirectoryError|NotADirectoryError): ",
        "The path is a folder where a file is needed, or the other way round.",
        "Print the path before this line, and check each part of it.",
    ),
    rule(
        r"^PermissionError: ",
        "The file's own mode does not allow that.",
        "Change it first, with os.chmod, or open it in another way.",
    ),
    rule(
        r"^EOFError: ",
        "The program reads a line from stdin, and there is none: no stdin was given, or it is "
        "at its end.",
        "Send what it should read as `stdin`.",
        "Or put the value in the program, or pass it in `args`.",
    ),
    rule(
        r"^BrokenPipeError: ",
        "The program wrote to a pipe or socket that nobody reads any more.",
        "Let the reader read to the end.",
    ),
    rule(
        r"CalledProcessError: Command .*\bpip\b",
        "The program tried to install a package, which needs a network and a place to install "
        "to: a run has neither unless it asks.",
        "Ask for it with the run, in `packages`, where the operator allows that.",
        "Do it with the packages that the image has, or ask the operator for a profile with it.",
    ),
    rule(
        r"CalledProcessError: Command .* (?:returned non-zero exit status|died with) (?P<code>.*)",
        "A command that the program ran failed with {code}",
        "Read what the command wrote to stderr: pass capture_output=True and print it.",
    ),
    rule(
        r"TimeoutExpired|^TimeoutError",
        "Something took longer than the program itself allows.",
        "Allow it more time, or do less of it at once.",
    ),
)

_CONTROL = (
    rule(
        r"^RecursionError: ",
        "A function calls itself, directly or through others, and never stops: Python allows "
        "about 1000 levels.",
        "Check the case that ends the recursion: it is missing, or never reached.",
        "Use a loop, or sys.setrecursionlimit if it is meant to go deep.",
    ),
    rule(
        r"^KeyboardInterrupt",
        "The program was interrupted, as Ctrl-C does: by its client, or by itself.",
        "Look for code that raises it or sends SIGINT, where its client did not.",
    ),
    rule(
        r"^NotImplementedError",
        "The program came to a part that is not written yet.",
        "Write it, or call a subclass that has it.",
    ),
    rule(
        r"^RuntimeError: .*event loop",
        "asyncio is used in a way that its event loop does not allow.",
        "Call asyncio.run() once, at the top, and await everything below it.",
    ),
    rule(
        r"^RuntimeError: (?:dictionary|Set|deque|OrderedDict).* (?:changed size|mutated|changed)",
        "A collection was changed while a loop went over it.",
        "Loop over a copy: `for x in list(collection)`.",
    ),
    rule(
        r"Group: ",
        "Several errors happened at once; each is in the group.",
        "Look at the errors in the group on stderr: each has its own trace.",
    ),
)

_SYNTAX = (
    rule(
        r"^SyntaxError: '(?P<bracket>.)' was never closed",
        "The bracket `{bracket}` is opened here and never closed.",
        "Add the closing bracket, here or where it belongs.",
    ),
    rule(
        r"^SyntaxError: (?:unmatched|closing parenthesis) '(?P<bracket>.)'",
        "The bracket `{bracket}` closes nothing that was opened.",
        "Remove it, or add the bracket that opens it.",
    ),
    rule(
        r"^SyntaxError: unterminated (?:triple-quoted )?(?:f-)?string",
        "A string is opened here and not closed.",
        "Add the closing quote; a text of several lines needs three quotes.",
    ),
    rule(
        r"^SyntaxError: expected ':'",
        "The line begins a block and has no colon at its end.",
        "Add `:` at the end of the line.",
    ),
    rule(
        r"^SyntaxError: Missing parentheses in call to '(?P<function>\w+)'",
        "This is Python 2: in Python 3, {function} is a function.",
        "Write `{function}(...)`.",
    ),
    rule(
        r"^SyntaxError: .*(?:Maybe you meant '==' |cannot assign to)",
        "`=` gives a name a value: it compares nothing, and takes nothing but names on its left.",
        "Write `==` to compare.",
    ),
    rule(
        r"^SyntaxError: '?(?P<word>\w+)'? outside (?:async )?(?P<place>function|loop)",
        "`{word}` only means something within a {place}.",
        "Put it into a {place}; check the indentation of the lines before.",
    ),
    rule(
        r"^SyntaxError: invalid (?:non-printable )?character",
        "There is a character that is not part of Python, such as a typographic quote.",
        "Replace it with the plain one.",
    ),
    rule(
        r"^SyntaxError: \(?'?(?:unicode|\w+' codec)",
        "The program is not text in the encoding that it is read in.",
        "Save it as UTF-8; double the backslashes in Windows paths.",
    ),
    rule(
        r"^IndentationError: expected an indented block(?: after (?P<what>.*?) on line \d+)?",
        "A block must follow here, further in than the line that begins it.",
        "Indent the lines of the block; write `pass` for an empty one.",
    ),
    rule(
        r"^IndentationError: unexpected indent",
        "The line is further in than those before, and nothing there begins a block.",
        "Take the indentation back to that of the lines around it.",
    ),
    rule(
        r"^IndentationError: unindent",
        "The line goes back to a depth at which no block began.",
        "Give it exactly the indentation of the block it belongs to.",
    ),
    rule(
        r"^TabError",
        "The indentation mixes tabs and spaces, so that its depth is not clear.",
        "Use four spaces everywhere.",
    ),
)

_EXITS = (
    rule(
        r"^main\.py: error: (?P<complaint>.*)",
        "argparse refused the arguments of the program: {complaint}.",
        "Pass the program the arguments that it wants, in `args`.",
    ),
)

RULES = _IMPORTS + _FILES + _CONTROL + _SYNTAX + _EXITS

EXIT_CODES = {
    120: Meaning("Python could not write out what was left of its output."),
}

"""What errors mean in whatever language."""

from __future__ import annotations

import re

from sandboxd.diagnose.meaning import rule

MISSING = tuple(
    re.compile(pattern)
    for pattern in (
        r"Can't locate (\S+)\.pm in @INC",
        r"^module '(\S+)' not found",
        r"there is no package called .(\w[\w.]*).",
        r"Cannot find module '(\S+?)'",
        r"can't find crate for `(\w+)`",
        r"unresolved import `(\w+)",
        r"(?:undeclared|unresolved) (?:crate or )?module(?: or unlinked crate)? `(\w+)`",
        r"^package (\S+) does not exist",
    )
)
"""Modules that were not found; the first group is the module."""

RULES = (
    rule(
        r"^link error: undefined reference to [`'\u2018]main['\u2019]",
        "There is no function `main`, with which a program begins.",
        "Add `int main(void) {{ ... }}`.",
    ),
    rule(
        r"^link error: undefined reference to [`'\u2018](?P<function>[^'\u2019]*)['\u2019]",
        "`{function}` is declared and used, and defined in none of the program's files nor in "
        "the libraries it is linked with.",
        "Define it, or send the source file that does along in `files`.",
        'Check the spelling, the arguments, and in C++ the namespace and `extern "C"`.',
    ),
    rule(
        r"^link error: multiple definition of [`'\u2018](?P<function>[^'\u2019]*)['\u2019]",
        "`{function}` is defined more than once, such as in a header that several files include.",
        "Define it in one file, and only declare it in the header, with `extern` if it is a "
        "variable; or make it `static` or `inline`.",
    ),
    rule(
        r"(?:file not found for module|unresolved module) `(?P<module>\w+)`",
        "There is no file of the module `{module}`. A run has only the files that were sent.",
        "Send `{module}.rs` along in `files`.",
    ),
    rule(
        r"Failed opening required '(?P<path>[^']*)'",
        "The program requires the file `{path}`, and there is none of that name. A run has only "
        "the files that were sent with it.",
        "Send `{path}` along in `files`.",
        "Check the path: __DIR__ is the folder of the file that requires it.",
    ),
    rule(
        r"has no exported member '(?P<name>\w+)'",
        "The module exports nothing called `{name}`.",
        "Check the spelling, and that it has an `export` there.",
    ),
    rule(
        r"NoSuchElementException: No line found|NoSuchElementException$",
        "The program reads on where there is no more: no stdin was given, or it is at its end.",
        "Send what it should read as `stdin`, and ask hasNextLine() first.",
    ),
    rule(
        r"(?P<header>\S+\.h(?:pp|xx)?): No such file or directory",
        "There is no header `{header}` in this image.",
        "Check its spelling; if it is your own, send it along in `files`.",
        "Do without that library, or ask the operator for an image that has it.",
    ),
    rule(
        r"(?i)[Cc]annot find (?:name|value|symbol|function|type)(?: in this scope)?:? "
        r"[`'\u2018](?P<name>\w+)|"
        r"[`'\u2018](?P<undeclared>\w+)['\u2019] (?:undeclared|was not declared)",
        "The program uses a name that is declared nowhere.",
        "Declare it first, or include or import what has it.",
    ),
    rule(
        r"(?i)';' expected|expected \u2018;",
        "A semicolon is missing.",
        "Add it at the end of the statement, which may be on the line before.",
    ),
    rule(
        r"(?i)no such file or directory|FileNotFoundException|NoSuchFileException",
        "The program opens a file that is not there. A run starts with an empty work folder "
        "/sandbox: it has only the program and the files that were sent with it.",
        "Send the file along in `files`, or make it first.",
    ),
    rule(
        r"(?i)divi(?:de|sion|ded) by zero|/ by zero",
        "The program divides by zero.",
        "Check the divisor before dividing.",
    ),
    rule(
        r"(?i)index out of (?:bounds|range)|IndexOutOfBounds|subscript out of bounds",
        "The index is not in the array.",
        "Check it against the length first.",
    ),
    rule(
        r"NullPointerException|(?i:attempt to index a nil|on null\b|nil value)",
        "Something that is not there was used as an object.",
        "Find where the value comes from, and why it is absent there.",
    ),
    rule(
        r"(?i)stack ?overflow",
        "A function calls itself, directly or through others, and never stops.",
        "Check the case that ends the recursion: it is missing, or never reached.",
    ),
    rule(
        r"(?i)mismatched types|incompatible types|type mismatch|is not assignable to",
        "A value of another type stands where one is needed.",
        "Convert it, or change one of the two types.",
    ),
    rule(
        r"(?i)no such (?:table|column): (?P<name>\w+)",
        "The database has no `{name}`. A run starts with an empty one.",
        "Create it first, and check the spelling.",
    ),
)

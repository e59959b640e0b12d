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

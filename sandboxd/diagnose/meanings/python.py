"""What Python's exceptions mean."""

from __future__ import annotations

import sys

from sandboxd.diagnose.meaning import rule

_STANDARD = "|".join(sorted(sys.stdlib_module_names))
_ABBREVIATIONS = "np|pd|plt|sns|tf|nx|sp"

_NAMES = (
    rule(
        rf"^NameError: name '(?P<module>{_STANDARD})' is not defined",
        "`{module}` is a module of the standard library that was not imported.",
        "Add `import {module}` at the top.",
    ),
    rule(
        rf"^NameError: name '(?P<short>{_ABBREVIATIONS})' is not defined",
        "`{short}` is what a library is usually imported as, and it was not imported.",
        "Add the import, such as `import numpy as np`.",
    ),
    rule(
        r"^NameError: name '(?P<name>\w+)' is not defined",
        "The program uses the name `{name}`, which nothing has given a value by then.",
        "Define `{name}` before this line, or import it.",
        "If it was meant as text, put it in quotes.",
    ),
    rule(
        r"^NameError: cannot access free variable '(?P<free>\w+)'",
        "`{free}` belongs to a function around this one, and has no value yet.",
        "Give `{free}` a value before this function is called.",
    ),
    rule(
        r"^UnboundLocalError: .*variable '(?P<local>\w+)'",
        "`{local}` is assigned somewhere in this function, so it is local to it, and it has no "
        "value yet where it is used.",
        "Add `global {local}` or `nonlocal {local}` if the outer one is meant.",
        "Otherwise give it a value on every way that leads here.",
    ),
    rule(
        r"^AttributeError: 'NoneType' object has no attribute '(?P<attribute>\w+)'",
        "`.{attribute}` was asked of None: what should be an object is None, as a function "
        "without a return or a search without a result gives it.",
        "Find where the value comes from, and why it is None there.",
        "Check for None before using it.",
    ),
    rule(
        r"^AttributeError: (?:partially initialized )?module '(?P<module>[\w.]+)' has no "
        r"attribute '(?P<name>\w+)'",
        "The module `{module}` has nothing called `{name}`.",
        "Look at `dir({module})` for what it has; the name may be of another version.",
        "See that no file of your own is called `{module}.py` and hides it.",
    ),
    rule(
        r"^AttributeError: (?:type object )?'(?P<kind>[\w.]+)'(?: object)? has no attribute "
        r"'(?P<name>\w+)'",
        "Objects of the type `{kind}` have nothing called `{name}`.",
        "Look at `dir()` of the object for what it has.",
        "Check that the object is what you think: print its type before this line.",
    ),
)

_LOOKUPS = (
    rule(
        r"^KeyError: '(?P<name>[^'\n]*)'",
        "The dictionary, or the table, has no key `{name}`.",
        "Print the keys that there are before this line.",
        "Use `.get('{name}')` if the key may be absent.",
    ),
    rule(
        r"^KeyError: (?P<key>.+)",
        "The dictionary, or the table, has no key {key}.",
        "Print the keys that there are, with their types: 1 and '1' are different keys.",
        "Use `.get({key})` if the key may be absent.",
    ),
    rule(
        r"^IndexError: pop from (?:an )?empty",
        "Nothing is left to take out.",
        "Check that there is something in it before taking from it.",
    ),
    rule(
        r"^IndexError: (?P<kind>list|string|tuple|range object)?.*out of range",
        "The index is not in the sequence, whose indices go from 0 to its length less 1.",
        "Print the index and the length before this line.",
        "Check that the sequence is not empty.",
    ),
    rule(r"^StopIteration", "`next()` was called when nothing was left.", "Use next(it, default)."),
)

_TYPES = (
    rule(
        r"^TypeError: (?P<function>[\w.<>]+)\(\) missing (?P<count>\d+) required \S+ "
        r"arguments?: (?P<arguments>.+)",
        "`{function}` was called without {arguments}.",
        "Pass {arguments} in the call, or give it a default in the definition.",
    ),
    rule(
        r"^TypeError: (?P<function>[\w.<>]+)\(\) (?:takes|got|expected)",
        "`{function}` was called with arguments that it does not take.",
        "Compare the call with the definition of `{function}`.",
        "If it is a method, see that its definition has `self`.",
    ),
    rule(
        r"^TypeError: 'NoneType' object (?:is not|does not|cannot)",
        "A value is None where the program needs something else.",
        "Find where the value comes from: a function without a return gives None, and so do "
        "list methods such as sort().",
    ),
    rule(
        r"^TypeError: 'module' object is not callable",
        "The program calls a module as if it were a function.",
        "Call the function in it, as in `module.function()`.",
    ),
    rule(
        r"^TypeError: '(?P<kind>\w+)' object is not callable",
        "Something of the type `{kind}` is called as if it were a function.",
        "See whether a variable has the name of the function and hides it.",
        "See whether an operator or a comma is missing before the parenthesis.",
    ),
    rule(
        r"^TypeError: (?:can only concatenate|unsupported operand|must be str|can't multiply)|"
        r"^TypeError: '[<>=!]+' not supported",
        "The two values are of types that this operator does not take together.",
        "Convert one of them first: str(x), int(x), float(x), or an f-string.",
        "Print the types of both before this line: one may not be what you think.",
    ),
    rule(
        r"^TypeError: (?P<kind>'\w+') object is not (?P<what>iterable|subscriptable|an iterator)",
        "A value of the type {kind} is used as if it held others: it is not {what}.",
        "Print the value and its type before this line.",
        "To count, use range(n).",
    ),
    rule(
        r"^TypeError: unhashable type: (?P<kind>'\w+')",
        "A {kind} can change, so it can neither be a key nor be in a set.",
        "Use a tuple instead of a list, or a frozenset instead of a set.",
    ),
    rule(
        r"^TypeError: Object of type (?P<kind>\w+) is not JSON serializable",
        "JSON has no form for a `{kind}`.",
        "Convert it first, or pass `default=str` to json.dumps.",
    ),
    rule(
        r"^TypeError: \w+ indices must be",
        "The sequence is indexed with something that is no position in it.",
        "Use an integer; if a dictionary was expected, print what is there instead.",
    ),
    rule(
        r"^TypeError: ",
        "A value is of a type that this operation does not take.",
        "Print the types of the values in this line.",
    ),
)

_VALUES = (
    rule(
        r"^ValueError: invalid literal for int\(\) with base \d+: (?P<text>.*)",
        "int() was given {text}, which is not a whole number.",
        "Strip and check the text before converting it; use float() for decimals.",
    ),
    rule(
        r"^ValueError: could not convert string to float: (?P<text>.*)",
        "float() was given {text}, which is not a number.",
        "Strip and check the text before converting it.",
    ),
    rule(
        r"^ValueError: (?:not enough|too many) values to unpack",
        "The number of names on the left is not the number of values on the right.",
        "Print the value that is unpacked before this line.",
        "Take the rest with a star, as in `first, *rest = values`.",
    ),
    rule(
        r"^ValueError: The truth value of an? ",
        "A whole array was used as one condition.",
        "Use .any() or .all(), and & and | instead of `and` and `or`.",
    ),
    rule(
        r"^ValueError: source code string cannot contain null bytes",
        "The program contains NUL characters, which Python does not take.",
        "Remove them; write \\0 in a string to have one there.",
    ),
    rule(
        r"^ZeroDivisionError: ",
        "The program divides by zero.",
        "Check the divisor before dividing, and find out why it is zero: an empty list has "
        "the length 0.",
    ),
    rule(
        r"^OverflowError: ",
        "The result is too large for its type.",
        "Use integers or the decimal module, which have no such limit, or smaller values.",
    ),
    rule(
        r"JSONDecodeError: Expecting value: line 1 column 1",
        "The text is not JSON from its first character on: it is empty, or something else.",
        "Print the text before parsing it.",
    ),
    rule(
        r"JSONDecodeError: .*: line (?P<line>\d+) column (?P<column>\d+)",
        "The text is not JSON: it goes wrong at its line {line}, column {column}.",
        "Print the text before parsing it; JSON wants double quotes, and no comma at the end.",
    ),
    rule(
        r"^UnicodeDecodeError: '(?P<codec>[\w-]+)' codec",
        "The bytes are not text in the encoding {codec}: they are in another one, or no text.",
        "Name the encoding that they are in, such as encoding='latin-1', or read them as bytes.",
        "Pass errors='replace' if losing a few characters does not matter.",
    ),
    rule(
        r"^UnicodeEncodeError: '(?P<codec>[\w-]+)' codec",
        "The text has characters that the encoding {codec} does not have.",
        "Use encoding='utf-8', or errors='replace'.",
    ),
    rule(
        r"^ValueError: ",
        "A value is of the right type and still cannot be used here.",
        "Print the value before this line.",
    ),
    rule(
        r"^AssertionError",
        "An assertion of the program did not hold.",
        "Print the values that it compares before the assertion.",
    ),
)

RULES = _NAMES + _LOOKUPS + _TYPES + _VALUES
"""Of exceptions about values; `python_world` has those about everything else."""

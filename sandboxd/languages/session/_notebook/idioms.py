"""What notebooks write that is not Python: `%time`, `!command`, `%%bash`.

A cell that is Python is left as it is. Elsewhere a line that begins a statement becomes a
call of `__notebook__`, one line for one, so that places in errors stay right.
"""

import ast
import re
import tokenize

NAME = "__notebook__"
_LINE = re.compile(
    r"(?P<indent>\s*)(?:(?P<target>[^=!%'\"#()]+?)\s*=\s*)?(?P<sign>!|%%?(?=\w))(?P<rest>.*)"
)
_FLAGS = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_HELP = re.compile(r"(?P<indent>\s*)\??\??(?P<name>[A-Za-z_][\w.]*)\??\??\s*")
_CELL = re.compile(r"\s*%%(?P<name>\w+)[ \t]*(?P<options>[^\n]*)\n?(?P<body>.*)", re.DOTALL)


def translate(source):
    """The source as Python, and the magic that the whole cell was under, or None.

    That is a name, its options and the cell without its first line, which `source` is only
    where it is run as it would be without: under `%%time`.
    """
    if (cell := _CELL.fullmatch(source)) is not None:
        name, options, body = cell.group("name", "options", "body")
        if name != "time" or options.strip():
            return f"{NAME}.cell({name!r}, {options.strip()!r}, {body!r})", None
        first = source[: len(source) - len(body)].count("\n") * "\n"
        return translate(first + body)[0], name
    if is_python(source):
        return source, None
    return _translate_lines(source), None


def is_python(source):
    try:
        compile(source, "", "exec", _FLAGS, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _translate_lines(source):
    """The tokenizer asks for a line once it has told of the one before: what it told last
    says whether this one begins a statement, or is amid one or in a string."""
    lines = source.splitlines(keepends=True)
    told = []
    depth = ended = asked = 0

    def readline():
        nonlocal asked
        if asked == len(lines):
            return ""
        line = lines[asked]
        if depth == 0 and ended == asked:
            line = _translate_line(line)
        told.append(line)
        asked += 1
        return line

    try:
        for token in tokenize.generate_tokens(readline):
            if token.type == tokenize.OP:
                depth += (token.string in "([{") - (token.string in ")]}")
            elif token.type in (tokenize.NEWLINE, tokenize.NL):
                ended = token.start[0]
    except (tokenize.TokenError, SyntaxError):
        pass  # compiling it tells what is wrong
    return "".join(told + lines[asked:])


def _translate_line(line):
    text = line.rstrip("\n")
    end = line[len(text) :]
    if (found := _LINE.fullmatch(text)) is not None:
        indent, target, sign, rest = found.group("indent", "target", "sign", "rest")
        target = f"{target} = " if target else ""
        call = _shell(rest, wanted=bool(target)) if sign == "!" else _magic(sign, rest)
        return indent + target + call + end
    if "?" in text and (found := _HELP.fullmatch(text)) is not None:
        return f"{found['indent']}help({found['name']}){end}"
    return line


def _shell(command, *, wanted):
    if command.startswith("!"):
        command, wanted = command[1:], True
    return f"{NAME}.{'lines' if wanted else 'shell'}({command.strip()!r})"


def _magic(sign, rest):
    name, _, options = rest.strip().partition(" ")
    options = options.strip()
    if sign == "%%":
        return f"{NAME}.misplaced({name!r})"
    if name == "time" and _is_expression(options):
        # In place, so that it may await.
        return f"{NAME}.timed({NAME}.clock(), ({options}))"
    return f"{NAME}.line({name!r}, {options!r})"


def _is_expression(text):
    return bool(text) and is_python(f"({text}\n)")

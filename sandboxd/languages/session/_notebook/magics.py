"""What the idioms of notebooks do: the object that translated cells call."""

import os
import re
import runpy
import shlex
import subprocess
import sys
import time
import timeit

INSTALLERS = re.compile(r"(python3?\s+-m\s+)?(pip3?|conda|mamba)\s+install\b")
PACKAGES = (
    "packages are not installed from within: name them when the session is opened "
    '(`packages=["..."]`, on the command line `--package`)'
)
INSTEAD = {
    "pip": PACKAGES,
    "conda": PACKAGES,
    "mamba": PACKAGES,
    "load_ext": "extensions of IPython are not there: import the package that it is of",
    "prun": "write `import cProfile; cProfile.run('...')`",
    "debug": "there is no terminal to debug at: print what you want to know",
    "pdb": "there is no terminal to debug at: print what you want to know",
    "capture": "write `with contextlib.redirect_stdout(io.StringIO()) as captured:`",
    "html": "write `display(value)` for a value with `_repr_html_`",
}
SILENT = ("matplotlib", "config", "autoreload", "precision")
"""What there is nothing to do for: figures are shown, and no module changes meanwhile."""
COMMANDS = ("ls", "cat", "cp", "mv", "rm", "mkdir", "rmdir")
SHELLS = ("bash", "sh", "script")
BRACED = re.compile(r"\{([A-Za-z_][^{}]*)\}|(\$\$?)(\w+)")
UNITS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


class UsageError(Exception):
    """A magic that is not there, or is used as it cannot be."""


UsageError.__module__ = "builtins"  # it is shown by its name alone


class Lines(list):
    """What a command printed."""

    @property
    def n(self):
        return "\n".join(self)

    @property
    def s(self):
        return " ".join(self)


class Notebook:
    def __init__(self, scope, flush):
        self._scope = scope
        self._flush = flush

    # --- magics ---

    def line(self, name, options):
        if name in SILENT or (name in ("load_ext", "reload_ext") and options == "autoreload"):
            return None
        if name in COMMANDS:
            return self.shell(f"{name} {options}")
        known = getattr(self, f"_line_{name}", None)
        if known is None:
            raise UsageError(self._instead(f"%{name}", "_line_"))
        return known(options)

    def cell(self, name, options, body):
        if name in SHELLS:
            self._script(name, options, body)
        elif name == "writefile":
            self._write(options, body)
        elif name == "timeit":
            self._timeit(options, body)
        elif name == "time":
            return self._timed(f"{options}\n{body}")
        else:
            raise UsageError(self._instead(f"%%{name}", None))
        return None

    def misplaced(self, name):
        raise UsageError(f"%%{name} is of a whole cell: write it in the first line")

    def _instead(self, magic, prefix):
        name = magic.strip("%")
        if name in INSTEAD:
            return f"{magic} is not there: {INSTEAD[name]}"
        if prefix is None:
            there = [*SHELLS, "writefile", "time", "timeit"]
        else:
            there = [each.removeprefix(prefix) for each in dir(self) if each.startswith(prefix)]
        sign = magic[: len(magic) - len(name)]
        return f"{magic} is not there; there are {', '.join(sign + each for each in sorted(there))}"

    def _line_time(self, options):
        return self._timed(options)

    def _line_timeit(self, options):
        self._timeit(options, None)

    def _line_cd(self, options):
        os.chdir(os.path.expanduser(self._expand(options).strip("'\"") or "~"))
        print(os.getcwd())

    def _line_pwd(self, _):
        return os.getcwd()

    def _line_env(self, options):
        if not options:
            return dict(os.environ)
        name, separator, value = options.partition("=" if "=" in options else " ")
        if not separator:
            return os.environ[name]
        os.environ[name.strip()] = value = self._expand(value.strip())
        print(f"env: {name.strip()}={value}")
        return None

    _line_set_env = _line_env

    def _line_run(self, options):
        path, *arguments = shlex.split(self._expand(options))
        before, sys.argv = sys.argv, [path, *arguments]
        try:
            left = runpy.run_path(path, run_name="__main__")
        finally:
            sys.argv = before
        self._scope.update({each: left[each] for each in left if not each.startswith("__")})

    def _line_who(self, _):
        print("\t".join(self._line_who_ls(_)))

    _line_whos = _line_who

    def _line_who_ls(self, _):
        return sorted(each for each in self._scope if not each.startswith("_"))

    # --- time ---

    def clock(self):
        return time.process_time(), time.perf_counter()

    def timed(self, since, value):
        """Tells the time since then; `value` is what was computed meanwhile."""
        used, passed = (now - then for now, then in zip(self.clock(), since, strict=True))
        print(f"CPU times: total: {duration(used)}\nWall time: {duration(passed)}")
        return value

    def _timed(self, code):
        since = self.clock()
        exec(compile(code, "<time>", "exec"), self._scope)
        self.timed(since, None)

    def _timeit(self, options, body):
        given = re.match(r"((?:-[nr]\s*\d+|-[qotcp]\d*)\s+)*", options + " ").group()
        counts = dict(re.findall(r"-([nr])\s*(\d+)", given))
        code, setup = options[len(given) :], "pass"
        if body is not None:
            code, setup = body, code or "pass"
        timer = timeit.Timer(code, setup, globals=self._scope)
        number = int(counts.get("n", 0)) or timer.autorange()[0]
        runs = int(counts.get("r", 7))
        each = [taken / number for taken in timer.repeat(runs, number)]
        mean = sum(each) / runs
        spread = (sum((one - mean) ** 2 for one in each) / runs) ** 0.5
        print(
            f"{duration(mean)} ± {duration(spread)} per loop (mean ± std. dev. "
            f"of {runs} run{'s' * (runs != 1)}, {number:,} loop{'s' * (number != 1)} each)"
        )

    # --- the shell ---

    def shell(self, command):
        """Runs it; how it ended is in `_exit_code`, as in a notebook."""
        self._scope["_exit_code"] = self._start(command).returncode

    def lines(self, command):
        """What it printed, line by line."""
        ran = self._start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._scope["_exit_code"] = ran.returncode
        return Lines(ran.stdout.decode(errors="replace").splitlines())

    def _start(self, command, **options):
        command = self._expand(command)
        if INSTALLERS.match(command):
            raise UsageError(PACKAGES)
        self._flush()
        return subprocess.run([shell(), "-c", command], check=False, **options)

    def _script(self, name, options, body):
        command = shlex.split(options) if name == "script" else [name, *shlex.split(options)]
        self._flush()
        ran = subprocess.run(command, input=body.encode(), check=False)
        if ran.returncode:
            raise subprocess.CalledProcessError(ran.returncode, " ".join(command))

    def _write(self, options, body):
        names = shlex.split(self._expand(options))
        adds = "-a" in names or "--append" in names
        names = [each for each in names if each not in ("-a", "--append")]
        if len(names) != 1:
            raise UsageError("%%writefile [-a] FILE: the cell below it goes into that file")
        path = os.path.expanduser(names[0])
        there = os.path.exists(path)
        word = "Writing" if not there else "Appending to" if adds else "Overwriting"
        print(word, path)
        with open(path, "a" if adds else "w", encoding="utf-8") as file:
            file.write(body)

    def _expand(self, text):
        """`{expression}` and `$name`, where they are Python's; the rest is the shell's."""

        def value(found):
            expression, dollars, name = found.groups()
            if dollars == "$$":
                return f"${name}"
            if name is not None and name not in self._scope:
                return found.group()
            try:
                return str(eval(expression or name, self._scope))  # noqa: S307 - the program's own
            except Exception:
                return found.group()

        return BRACED.sub(value, text)


def shell():
    return "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"


def duration(seconds):
    factor, unit = next((each for each in UNITS if seconds >= each[0]), UNITS[-1])
    return f"{seconds / factor:.3g} {unit}"

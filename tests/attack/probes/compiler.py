"""Compilers driven mad: what compiles is a program of the user's as much as what runs."""

from __future__ import annotations

from tests.attack.probe import Control, Expect, Outcome, Probe, Where

_MAIN = 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("ran") }\n'
_REFUSED = ("error", "timeout", "oom")
_SAYS = Control(Where.SHOWN, why="the compiler's own words, or the clock, tell of it")


def _not_compiled(got: Outcome) -> None:
    assert b"ran" not in got.stdout
    assert got.result is not None
    if got.status == "error":
        assert got.result.error is not None, "nothing says that it did not compile"
        assert got.result.error.phase == "compile"


_PROGRAMS = {
    "a constant of a billion digits": _MAIN + "const x = 1 << 1000000000\nvar y = float64(x)\n",
    "arrays of arrays": _MAIN + "var x [1 << 62]int\n",
    "half a gigabyte of data": _MAIN + "var x = [1 << 29]byte{1<<29 - 1: 1}\n",
    "a type that holds itself": _MAIN + "type T struct{ x [2]T }\nvar x T\n",
    "types without end": _MAIN + "type T[A any] struct{ x *T[T[A]] }\nvar x T[int]\n",
    "ten thousand brackets": _MAIN + "var x = " + "(" * 10_000 + "1" + ")" * 10_000 + "\n",
    "a sum of a million": _MAIN + "var x = " + "+".join(["len(y)"] * 100_000) + "\nvar y string\n",
    "a line of a megabyte": _MAIN + "//" + "x" * 1_000_000 + "\n*",
    "C": _MAIN.replace('"fmt"', '"C"').replace("fmt.Println", "println"),
    "a file of the image": _MAIN.replace('import "fmt"', 'import _ "embed"\nimport "fmt"')
    + "//go:embed /etc/passwd\nvar x string\n",
    "no Go at all": "\0\xff\n" * 100,
}

PROBES = (
    *(
        Probe(
            name=f"compiling {name}",
            language="go",
            program=program,
            timeout=8.0,
            heavy=True,
            expect=Expect(status=_REFUSED, check=_not_compiled)
            if name
            not in ("half a gigabyte of data", "ten thousand brackets", "a sum of a million")
            else Expect(status=(*_REFUSED, "ok")),
            control=_SAYS,
        )
        for name, program in _PROGRAMS.items()
    ),
    Probe(
        name="compiling what is right",
        language="go",
        program=_MAIN,
        heavy=True,
        expect=Expect(says="ran\n"),
        control=Control(Where.SHOWN, why="it ran"),
    ),
)

"""What a command of `sandbox` consists of."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


class Command:
    """`run` returns the exit code; `arguments.args` holds what followed a `--`."""

    def __init__(
        self,
        name: str,
        add_arguments: Callable[[argparse.ArgumentParser], None],
        run: Callable[[argparse.Namespace], int],
        usage: str | None = None,
    ) -> None:
        self.name = name
        self.add_arguments = add_arguments
        self.run = run
        self.usage = usage

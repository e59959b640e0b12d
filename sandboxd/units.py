"""What systemd needs of us on a host: units, user, folders, and an annotated configuration."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo

from sandboxd import config
from sandboxd.config import Config, Size
from sandboxd.config_problems import table_type
from sandboxd.errors import SetupError
from sandboxd_client import protocol

Say = Callable[[str], None]

_PLACEHOLDER = "@sandboxd@"
_COMMAND = "sandboxd"
_PLAIN_PATH = re.compile(r"/[\w./+,:=~-]*")
"""Paths that mean themselves in a unit; others would have to be quoted in three ways."""
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome and PrivateTmp take from the service."""


# --- units ---


class _Item(NamedTuple):
    source: str
    """In the folder of the units."""
    target: Path
    ours: bool = True
    """Written again when it differs; what is not ours is left once it is there."""


def install_units(
    *,
    user: bool,
    root: Path,
    executable: Path,
    network: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> list[Path]:
    """Lays units, and what they need, where systemd looks for them below `root`.

    Returns what was written, or would be by a dry run: a second time that is nothing.
    The operator's own configuration is never touched. Raises SetupError.
    """
    if not _PLAIN_PATH.fullmatch(str(executable)):
        raise SetupError(
            f"a unit cannot start {str(executable)!r}: its path must begin with / and have "
            "letters, digits and ./+,:=~_- alone; install sandboxd elsewhere"
        )
    written = []
    for item in _user_items() if user else _system_items(root, network=network):
        path = root / item.target.relative_to("/")
        text = (unit_folder() / item.source).read_text().replace(_PLACEHOLDER, str(executable))
        there = _read(path)
        if there == text:
            say(f"unchanged: {path}")
        elif there is not None and not item.ours:
            say(f"kept as it is: {path}")
        else:
            say(f"{'would write' if dry_run else 'written'}: {path}")
            written.append(path)
            if not dry_run:
                _write(path, text)
    return written


def next_steps(*, user: bool) -> list[str]:
    """The commands that put installed units to work."""
    if user:
        reload = ["systemctl --user daemon-reload"]
        return [*reload, "systemctl --user enable --now sandboxd.socket sandboxd.service"]
    return [
        "systemd-sysusers sandboxd.conf",
        "systemd-tmpfiles --create sandboxd.conf",
        "systemctl daemon-reload",
        "systemctl enable --now sandboxd.socket sandboxd.service",
        "usermod --append --groups sandboxd USER   # whoever may run programs",
    ]


def unit_folder() -> Path:
    """Where the units are: in the wheel inside the package, in a checkout beside it."""
    package = Path(__file__).parent
    for folder in (package / "_systemd", package.parent / "systemd"):
        if (folder / "sandboxd.service").is_file():
            return folder
    raise SetupError("this installation lacks the units; they are in the wheel and in a checkout")


def installed_command() -> Path:
    """The command `sandboxd` of this very installation. Raises SetupError."""
    started = Path(sys.argv[0]).absolute()
    beside = Path(sys.executable).with_name(_COMMAND)
    on_path = shutil.which(_COMMAND)
    for candidate in (started, beside, *([Path(on_path)] if on_path else [])):
        if candidate.name == _COMMAND and candidate.is_file():
            return candidate
    raise SetupError("the command sandboxd is not installed: pip install sandboxd")


def check_visible(executable: Path) -> None:
    """Raises SetupError when the system's service could not see what it is to start."""
    needed = {executable.resolve(), Path(sys.prefix), Path(sys.base_prefix), Path(__file__)}
    needed.add(Path(protocol.__file__))
    for path in sorted(needed):
        if any(path.is_relative_to(folder) for folder in _HIDDEN):
            raise SetupError(
                f"the service does not see {path}: homes and temporary folders are hidden from "
                "it. Install sandboxd elsewhere, such as into a virtual environment in "
                "/opt/sandboxd, or install units of your own with --user"
            )


def _system_items(root: Path, *, network: bool) -> Iterator[_Item]:
    units = Path("/etc/systemd/system")
    yield _Item("sandboxd.service", units / "sandboxd.service")
    yield _Item("sandboxd.socket", units / "sandboxd.socket")
    if network:
        yield _Item("network.conf", units / "sandboxd.service.d/network.conf")
    yield _Item("sandboxd.sysusers.conf", Path("/etc/sysusers.d/sandboxd.conf"))
    yield _Item("sandboxd.tmpfiles.conf", Path("/etc/tmpfiles.d/sandboxd.conf"))
    yield _Item("sandboxd.toml", Path("/etc/sandboxd/sandboxd.toml"), ours=False)
    if (root / "etc/apparmor.d").is_dir():
        yield _Item("apparmor.sandboxd", Path("/etc/apparmor.d/sandboxd-guest"))


def _user_items() -> Iterator[_Item]:
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for name in ("sandboxd.service", "sandboxd.socket"):
        yield _Item(f"user/{name}", home / "systemd/user" / name)
    yield _Item("sandboxd.toml", home / "sandboxd/sandboxd.toml", ours=False)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"cannot read {path}: {error}") from None


def _write(path: Path, text: str) -> None:
    """Whole or not at all: systemd may be reading."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise SetupError(f"cannot write {path}: {error}") from None


# --- the annotated configuration ---

_HEADER = """
The configuration of sandboxd: every key, with the value it has where it is not set.
A line that begins with # and no space is a setting; take the # away to change it.

Sizes are bytes or text such as "256MiB", durations are seconds. In the environment
SANDBOXD_POOL__MAX=4 is `max = 4` under [pool]. `sandboxd check-config` says what is
wrong with this file, and SIGHUP (`systemctl reload sandboxd`) has it read again.
"""
_WIDTH = 88
_EXAMPLES = {"quotas": "default", "languages": "python", "profiles": "data"}
"""Names for tables of which there may be any number."""
_REQUIRED = "python"
"""What a key holds that must be set."""
_SAME = {"Limits": "LimitValues"}
"""What the protocol says of its own fields goes for these as well."""

_Lines = Iterator[str]


class _Docs(NamedTuple):
    """What the source says: of each struct, and of each field by its struct."""

    structs: dict[str, str]
    fields: dict[tuple[str, str], str]


def config_example() -> str:
    """A configuration file that changes nothing and explains everything."""
    lines = [*_comment(_HEADER.strip(), wrap=False), *_table("", Config(), _read_docs())]
    return "\n".join(lines) + "\n"


def _read_docs() -> _Docs:
    """Texts under fields are not there at run time, so they are taken from the source."""
    docs = _Docs({}, {})
    for module in (protocol, config):
        for node in ast.parse(inspect.getsource(module)).body:
            if not isinstance(node, ast.ClassDef):
                continue
            struct = _SAME.get(node.name, node.name)
            docs.structs[struct] = ast.get_docstring(node) or ""
            for field, text in pairwise(node.body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(words))),
                    ):
                        docs.fields[struct, name] = inspect.cleandoc(words)
    return docs


def _table(name: str, values: Struct, docs: _Docs, mark: str = "") -> _Lines:
    """A table with its keys, and then the tables in it; `mark` comments its name out."""
    kind = type(values)
    if name:
        yield f"{mark}[{name}]"
        yield from _comment(docs.structs.get(kind.__name__, ""))
    tables = []
    explained = True
    for field in msgspec.structs.fields(kind):
        value = getattr(values, field.name)
        if isinstance(value, Struct) or table_type(field.type):
            tables.append((field, value))
            continue
        # A text that was told once is not told again.
        told = [docs.fields.pop((base.__name__, field.name), "") for base in kind.__mro__]
        words = next(filter(None, told), "")
        if words or explained:
            yield ""
        explained = bool(words)
        yield from _comment(words)
        yield from _setting(field, value)
    for field, value in tables:
        yield ""
        yield from _comment(docs.fields.get((kind.__name__, field.name), ""))
        path = f"{name}.{field.name}" if name else field.name
        several = table_type(field.type)
        if several is None:
            yield from _table(path, value, docs)
        else:
            path += f".{_EXAMPLES.get(field.name, 'NAME')}"
            yield from _table(path, _example(several), docs, mark="#")


def _example(kind: type[Struct]) -> Struct:
    """A table with nothing set that need not be."""
    required = [each.name for each in msgspec.structs.fields(kind) if each.required]
    return kind(**dict.fromkeys(required, _REQUIRED))


def _setting(field: FieldInfo, value: object) -> _Lines:
    if typing.get_origin(field.type) is Literal:
        choice = ", ".join(f'"{each}"' for each in typing.get_args(field.type))
        yield f"# One of {choice}."
    computed = field.default_factory not in (NODEFAULT, list, dict)
    if computed:
        how = getattr(field.default_factory, "__name__", "").strip("_").replace("_", " ")
        yield f"# {field.name} = ({how if how.isascii() and '<' not in how else 'depends'})"
    elif value is None:
        yield f"# {field.name} = (not set)"
    else:
        yield f"#{field.name} = {to_toml(value)}"


def to_toml(value: Any) -> str:
    """A value of the configuration as it is written there."""
    if isinstance(value, Size):
        return f'"{_size(value)}"'
    return json.dumps(value)  # which is TOML as well for all else that is here


def _size(size: int) -> str:
    for unit, name in ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def _comment(text: str, *, wrap: bool = True) -> _Lines:
    for line in textwrap.wrap(text, _WIDTH - 2) if wrap else text.splitlines():
        yield f"# {line}".rstrip()

"""The command `sandboxd`: serve, set up, look after images, and see what holds."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from sandboxd import __version__, config, daemon, log, units
from sandboxd.config import Config
from sandboxd.doctor import command as doctor
from sandboxd.engine import host
from sandboxd.engine.images import Images, Wanted
from sandboxd.engine.open import open_engine
from sandboxd.errors import SandboxdError, SetupError
from sandboxd.rpc.openrpc import document, page
from sandboxd.run.catalog import Catalog, read_catalog
from sandboxd.shelf import wanted_image
from sandboxd_client.cli import completion

_out = Console()
_err = Console(stderr=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if "run" not in arguments:
        parser.print_help(sys.stderr)
        return 2
    try:
        code: int = arguments.run(arguments)
    except SandboxdError as error:
        _err.print(f"sandboxd: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sandboxd", description=__doc__)
    parser.add_argument("--version", action="version", version=f"sandboxd {__version__}")
    parser.add_argument("--config", type=Path, help="configuration file (TOML)")
    commands = parser.add_subparsers(metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the daemon in the foreground")
    serve.add_argument("--socket", help="path of the Unix socket")
    serve.set_defaults(run=_serve)

    setup = commands.add_parser("setup", help="make this host ready: engine and images")
    setup.add_argument(
        "--install-engine",
        action="store_true",
        help="install the distribution's docker.io and mmdebstrap where they are missing",
    )
    setup.add_argument("languages", nargs="*", metavar="LANGUAGE", help="only these (default: all)")
    setup.set_defaults(run=_setup)

    images = commands.add_parser("images", help="list, pull, build or prune images")
    actions = images.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="what there is")
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_images_list)
    for name, text in (
        ("pull", "get what is missing, from official bases only"),
        ("build", "get what is missing, from official bases or Debian's packages"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("languages", nargs="*", metavar="LANGUAGE")
        action.set_defaults(run=_images_get, build=name == "build")
    prune = actions.add_parser("prune", help="remove images that no language uses any more")
    prune.set_defaults(run=_images_prune)

    openrpc = commands.add_parser("openrpc", help="print the description of the protocol")
    openrpc.add_argument("--markdown", action="store_true", help="as a page instead of JSON")
    openrpc.set_defaults(run=_openrpc)

    diagnosis = commands.add_parser(
        "doctor", help="which layers of isolation are in force, and how to get what is missing"
    )
    diagnosis.add_argument("--json", action="store_true")
    diagnosis.set_defaults(run=_doctor)

    install = commands.add_parser("install-units", help="lay systemd units and what they need")
    install.add_argument("--user", action="store_true", help="for this user's own systemd")
    install.add_argument("--prefix", type=Path, default=Path("/"), help="below another root")
    install.add_argument("--network", action="store_true", help="let the daemon fetch packages")
    install.add_argument("--dry-run", action="store_true", help="only say what would be written")
    install.set_defaults(run=_install_units)

    settings = commands.add_parser("config", help="about the configuration")
    about = settings.add_subparsers(required=True, metavar="ACTION")
    example = about.add_parser("example", help="print one with every key, explained")
    example.set_defaults(run=_config_example)
    show = about.add_parser("show", help="print every setting, and where its value comes from")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_config_show)
    check = commands.add_parser("check-config", help="read the configuration and say what is wrong")
    check.set_defaults(run=_check_config)

    complete = commands.add_parser("completion", help="print what makes a shell complete this")
    complete.add_argument("shell", choices=completion.SHELLS)
    complete.set_defaults(run=_completion)
    return parser


# --- serve ---


def _serve(arguments: argparse.Namespace) -> int:
    def read() -> Config:
        loaded = config.load(arguments.config)
        if arguments.socket:
            loaded = msgspec.structs.replace(loaded, socket=arguments.socket)
        return loaded

    loaded = read()
    log.configure(loaded.log)
    asyncio.run(daemon.serve(loaded, read))
    return 0


def _check_config(arguments: argparse.Namespace) -> int:
    loaded = config.load(arguments.config)
    names = ", ".join(read_catalog(loaded).languages.by_name)
    _out.print(f"the configuration is right; languages: {names}", highlight=False)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    return doctor.run(arguments.config, as_json=arguments.json, out=_out, err=_err)


def _openrpc(arguments: argparse.Namespace) -> int:
    described = document()
    if arguments.markdown:
        sys.stdout.write(page(described))
    else:
        sys.stdout.write(json.dumps(described, indent=2, ensure_ascii=False) + "\n")
    return 0


def _completion(arguments: argparse.Namespace) -> int:
    sys.stdout.write(completion.script(_parser(), arguments.shell))
    return 0


def _config_example(_: argparse.Namespace) -> int:
    sys.stdout.write(units.config_example())
    return 0


def _config_show(arguments: argparse.Namespace) -> int:
    loaded, sources = config.load_with_sources(arguments.config)
    settings = sources.settings(loaded)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(settings, enc_hook=int).decode() + "\n")
        return 0
    width = max(len(each.name) for each in settings)
    for each in settings:
        value = "(not set)" if each.value is None else units.to_toml(each.value)
        _out.print(
            f"{each.name:<{width}}  {value:<20}  {each.origin}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return 0


# --- units, setup and images ---


def _install_units(arguments: argparse.Namespace) -> int:
    user: bool = arguments.user
    executable = units.installed_command()
    if not user:
        units.check_visible(executable)
    elif os.geteuid() == 0:
        raise SetupError("root has the system's units; leave out --user")
    units.install_units(
        user=user,
        root=arguments.prefix,
        executable=executable,
        network=arguments.network,
        dry_run=arguments.dry_run,
        say=_say,
    )
    _say("then:\n" + "\n".join(f"  {step}" for step in units.next_steps(user=user)))
    return 0


def _setup(arguments: argparse.Namespace) -> int:
    loaded = config.load(arguments.config)
    host.make_ready(loaded.engine.host, _say, install=arguments.install_engine)
    return asyncio.run(
        _get_images(loaded, arguments.languages, may_install=arguments.install_engine)
    )


def _images_get(arguments: argparse.Namespace) -> int:
    loaded = config.load(arguments.config)
    return asyncio.run(_get_images(loaded, arguments.languages, build=arguments.build))


def _say(text: str) -> None:
    _err.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)


def _wanted(catalog: Catalog, names: Iterable[str]) -> list[Wanted]:
    """The images of the languages and profiles that are named, or of all that are kept
    ready where none is."""
    languages, profiles = catalog.languages, catalog.profiles
    if not names:
        chosen = [each for each in profiles.values() if each.language.standard]
    else:
        own = {name: profiles.get(name) or profiles[languages.find(name).name] for name in names}
        chosen = list(own.values())
    found = {(each.language.name, each.packages): each for each in chosen}
    return [wanted_image(each) for _, each in sorted(found.items())]


class _Reporter:
    """Progress as a line for each image: live on a terminal, otherwise as it changes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, subject: str, text: str) -> None:
        if not _err.is_terminal:
            _say(f"{subject}: {text}")
            return
        if subject not in self._tasks:
            self._tasks[subject] = self._progress.add_task("", subject=subject, total=None)
        done = 1 if text == "ready" else None
        self._progress.update(
            self._tasks[subject], description=text[:100], total=done, completed=done
        )


async def _get_images(
    loaded: Config,
    names: Sequence[str],
    *,
    build: bool = True,
    may_install: bool = False,
) -> int:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[subject]:<12}", style="bold"),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    wanted = _wanted(read_catalog(loaded), names)
    async with open_engine(loaded.engine) as engine:
        with Progress(*columns, console=_err, disable=not _err.is_terminal) as progress:
            images = Images(engine.images, may_install=may_install)
            reporter = _Reporter(progress)
            results = await asyncio.gather(
                *(images.ensure(each, reporter, build=build) for each in wanted),
                return_exceptions=True,
            )
    failed = [result for result in results if isinstance(result, BaseException)]
    for failure in failed:
        if not isinstance(failure, SandboxdError):
            raise failure
        _err.print(f"sandboxd: {failure}", style="red", markup=False, highlight=False)
    if not failed:
        _say(f"images: {', '.join(each.subject for each in wanted)}")
    return 1 if failed else 0


def _images_list(arguments: argparse.Namespace) -> int:
    return asyncio.run(_list_images(config.load(arguments.config), as_json=arguments.json))


async def _list_images(loaded: Config, *, as_json: bool) -> int:
    catalog = read_catalog(loaded)
    wanted = _wanted(catalog, catalog.languages.by_name)
    async with open_engine(loaded.engine) as engine:
        images = Images(engine.images)
        states = [await images.state(each) for each in wanted]
    if as_json:
        sys.stdout.write(msgspec.json.encode(states).decode() + "\n")
        return 0
    table = Table("LANGUAGE", "IMAGE", "STATE", "VERSION", "BASE", box=None)
    for state in states:
        there = "ready" if state.present else "missing"
        table.add_row(state.language, state.tag, there, state.version, state.base)
    _out.print(table)
    return 0


def _images_prune(arguments: argparse.Namespace) -> int:
    return asyncio.run(_prune_images(config.load(arguments.config)))


async def _prune_images(loaded: Config) -> int:
    catalog = read_catalog(loaded)
    wanted = _wanted(catalog, catalog.languages.by_name)
    async with open_engine(loaded.engine) as engine:
        images = Images(engine.images)
        for tag in await images.stale(wanted):
            await images.remove(tag)
            _out.print(f"removed {tag}", highlight=False)
    return 0

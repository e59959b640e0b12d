"""The configuration: TOML, then the environment, into frozen structs.

A key that does not exist is refused. `SANDBOXD_POOL__MAX=4` in the environment
is `max = 4` under `[pool]`; sizes are bytes or text such as "256MiB", durations
are seconds.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field

from sandboxd.config_problems import problems
from sandboxd.config_sources import Key, Sources
from sandboxd.errors import ConfigError
from sandboxd_client.protocol import MAX_LINE, default_socket, parse_size

_MIB = 1024 * 1024
_PREFIX = "SANDBOXD_"
CONFIG_VARIABLE = _PREFIX + "CONFIG"
_SOCKET_KEY = "socket"


class Size(int):
    """Bytes; read from an integer or from text such as "256MiB"."""


class _Section(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class EngineConfig(_Section, frozen=True):
    host: str | None = None
    """Address of the engine; `$DOCKER_HOST`, then the usual sockets, when unset."""
    timeout: float = 30.0
    """How long one call to the engine may take."""
    runtime: str | None = None
    """The engine's runtime, such as "runsc"; its default when unset."""
    apparmor: str | None = None
    """An AppArmor profile that lets the guest mount, where docker-default does not."""
    uid_base: int = 60706
    """Slot N runs as this uid + N: a range that Debian and systemd leave free."""


class LimitValues(_Section, frozen=True):
    """One value for each limit of a run; see `Limits` of the protocol."""

    timeout: float = 30.0
    memory: Size = Size(512 * _MIB)
    cpus: float = 1.0
    cpu_shares: int = 1024
    pids: int = 100
    output: Size = Size(_MIB)
    files_total: Size = Size(64 * _MIB)
    tmp: Size = Size(192 * _MIB)


class MaximumValues(LimitValues, frozen=True):
    """The most that a run may ask for."""

    output: Size = Size(1024 * 1024 * _MIB)
    """What a run whose output is only streamed may print, unless it asks for less."""


class LimitsConfig(_Section, frozen=True):
    default: LimitValues = LimitValues()
    max: MaximumValues = MaximumValues()
    capture: Size = Size(8 * _MIB)
    """The largest output, a stream, that a result can hold; more must be streamed."""
    files: int = 1000
    """Files that may come back from one run."""
    files_held: Size = Size(256 * _MIB)
    """Bytes of files, beyond what a line holds, that one owner's requests may have on
    their way at once, and as many their answers; the next ones wait."""
    tmp_inodes: int = 65536
    nofile: int = 1024


class NetworkConfig(_Section, frozen=True):
    allow: bool = False
    """Whether a run that asks for the network gets it."""
    name: str = "bridge"
    """The engine's network that it gets."""


def _two_per_core() -> int:
    return 2 * (os.cpu_count() or 1)


def _per_core() -> int:
    return os.cpu_count() or 1


class PoolConfig(_Section, frozen=True):
    min: int = 1
    """Containers of each language that are kept ready."""
    max: int = field(default_factory=_two_per_core)
    """The most containers of each language, in use ones among them."""
    max_uses: int = 1000
    max_age: float = 3600.0
    reuse: Literal["owner", "any", "never"] = "owner"
    """Whose next run may have a used container: its last owner's, anybody's, nobody's."""
    starts: int = field(default_factory=_per_core)
    """Containers that are started at once, over all languages."""
    start_timeout: float = 30.0
    queue: int = 10_000
    """Runs that may wait for a container of one language."""
    queue_timeout: float = 60.0


class RpcConfig(_Section, frozen=True):
    max_line: Size = Size(MAX_LINE)
    max_connections: int = 1000
    stall_timeout: float = 60.0
    """How long a client may leave its output unread before it is disconnected."""


class AdminConfig(_Section, frozen=True):
    socket: str | None = None
    """Path of a Unix socket with metrics and health over HTTP; none when unset."""


class TracingConfig(_Section, frozen=True):
    endpoint: str | None = None
    """Where OpenTelemetry spans of runs are sent by OTLP over HTTP, such as
    "http://127.0.0.1:4318/v1/traces"; none when unset. Needs the extra `otel`."""


class LogConfig(_Section, frozen=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class PackagesConfig(_Section, frozen=True):
    allow: list[str] = []
    """Names of packages that a request may have installed; "*" is any."""


class AccessConfig(_Section, frozen=True):
    """Who may use the socket, beside what its mode allows: users by name or uid, groups
    as "@name". Root always may."""

    allow: list[str | int] = []
    """Empty stands for everybody."""
    deny: list[str | int] = []


class QuotaConfig(_Section, frozen=True):
    """What one owner may have; 0 stands for no bound."""

    runs: int = 0
    """At once."""
    queued: int = 1000
    """Waiting, beyond those; counts only where `runs` is bounded."""
    per_minute: int = 0
    cpu_per_hour: float = 0.0
    """CPU seconds."""
    sessions: int = 32


class SessionConfig(_Section, frozen=True):
    """Sessions keep what runs leave. Each in a language with a driver (`stateful` in
    `languages`) takes one place of its pool's `max` while it is open: make that as many
    as are to be open at once, and some for ordinary runs. How many one owner may have is
    in `[quotas]`."""

    ttl: float = 1800.0
    """Seconds that one may lie unused, unless its client asks for another time."""
    ttl_max: float = 86_400.0
    files: Size = Size(256 * _MIB)
    """Of all sessions in languages without a driver: between runs the daemon holds them."""


class HistoryConfig(_Section, frozen=True):
    """What is kept of the runs that have ended; the oldest goes first."""

    enabled: bool = True
    path: str | None = None
    """The SQLite file; by default in the state folder of the system or the user."""
    keep_code: bool = True
    """A hash of it is kept in any case."""
    keep_output: bool = True
    output: Size = Size(64 * 1024)
    """Of a stream, where the run itself captures none."""
    max_count: int = 10_000
    max_age: float = 30 * 24 * 3600.0
    max_bytes: Size = Size(256 * _MIB)


class LanguageConfig(_Section, frozen=True):
    """Overrides for one language; None stands for what `[pool]` says."""

    enabled: bool = True
    min: int | None = None
    max: int | None = None
    preload: list[str] = []
    """Modules that the language's template has imported before any program."""
    warmup: str | None = None
    """A program that is run in each container before it counts as ready."""


class ProfileConfig(_Section, frozen=True):
    """A language with packages, limits or a network of its own, and a pool of its own."""

    language: str
    packages: list[str] = []
    """Installed into the profile's image, such as "numpy" or "pandas==2.2.3"."""
    preload: list[str] = []
    limits: dict[str, float | int | str] = {}
    """Defaults instead of `[limits.default]`, still within `[limits.max]`."""
    network: bool = False
    warmup: str | None = None
    min: int | None = None
    max: int | None = None


class Config(_Section, frozen=True):
    socket: str = field(default_factory=lambda: str(default_socket()))
    """`/run/sandboxd/sandboxd.sock` for root and for the system's service, else
    `$XDG_RUNTIME_DIR/sandboxd/sandboxd.sock`."""
    languages_path: str = "/etc/sandboxd/languages"
    """Folder with the operator's own languages, a TOML file each."""
    drain_timeout: float = 30.0
    """How long runs under way may take to end when the daemon is told to stop."""
    engine: EngineConfig = EngineConfig()
    limits: LimitsConfig = LimitsConfig()
    pool: PoolConfig = field(default_factory=PoolConfig)
    rpc: RpcConfig = RpcConfig()
    admin: AdminConfig = AdminConfig()
    tracing: TracingConfig = TracingConfig()
    log: LogConfig = LogConfig()
    network: NetworkConfig = NetworkConfig()
    packages: PackagesConfig = PackagesConfig()
    access: AccessConfig = AccessConfig()
    quotas: dict[str, QuotaConfig] = {}
    """By "user", "@group" or "default"; the first of these that fits an owner counts."""
    sessions: SessionConfig = SessionConfig()
    history: HistoryConfig = HistoryConfig()
    languages: dict[str, LanguageConfig] = {}
    profiles: dict[str, ProfileConfig] = {}


def default_path() -> Path:
    """Where the configuration is looked for when none is named."""
    if os.geteuid() == 0:
        return Path("/etc/sandboxd/sandboxd.toml")
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "sandboxd" / "sandboxd.toml"


def state_path(config: Config) -> Path:
    """Where the history is kept: beside nobody else's, for each socket its own."""
    if config.history.path:
        return Path(config.history.path)
    if os.geteuid() == 0:
        folder = Path("/var/lib/sandboxd")
    else:
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        folder = Path(home) / "sandboxd"
    name = hashlib.sha256(str(Path(config.socket).resolve()).encode()).hexdigest()[:10]
    usual = Path(config.socket).resolve() == default_socket().resolve()
    return folder / ("history.db" if usual else f"history-{name}.db")


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration of a file and the environment.

    A file that is named must exist; the default one need not. Raises ConfigError.
    """
    return load_with_sources(path, environ)[0]


def load_with_sources(
    path: Path | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Config, Sources]:
    """The same, and where its values come from."""
    if path is None and CONFIG_VARIABLE in environ:
        path = Path(environ[CONFIG_VARIABLE])
    text, values = _read(path or default_path(), must_exist=path is not None)
    variables = _apply_environment(values, environ)
    sources = Sources(path or default_path(), text, variables)
    try:
        config = msgspec.convert(values, Config, dec_hook=_decode)
    except msgspec.ValidationError:
        found = problems(values, Config, _decode)
        told = [f"{sources.place(each.key)}: {each.name}: {each.told}" for each in found]
        raise ConfigError("\n".join(f"configuration {each}" for each in told)) from None
    _check(config)
    return config, sources


def _read(path: Path, *, must_exist: bool) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text()
        return text, tomllib.loads(text)
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"configuration {path}: no such file") from None
        return "", {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration {path}: {error}") from None


def _apply_environment(values: dict[str, Any], environ: Mapping[str, str]) -> dict[Key, str]:
    """`SANDBOXD_A__B` sets `[a] b`; the socket's variable is one of them.

    Returns the variables by what they set.
    """
    variables: dict[Key, str] = {}
    for name, text in environ.items():
        if not name.startswith(_PREFIX) or name == CONFIG_VARIABLE:
            continue
        *sections, key = name.removeprefix(_PREFIX).lower().split("__")
        if not sections and key != _SOCKET_KEY:
            continue  # other programs' variables may begin like ours
        at = values
        for section in sections:
            at = at.setdefault(section, {})
            if not isinstance(at, dict):
                raise ConfigError(f"configuration: {name}: {section} is no section")
        at[key] = _parse_value(text)
        variables[*sections, key] = name
    return variables


def _parse_value(text: str) -> Any:
    """A TOML value where it is one, otherwise the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _decode(kind: type, value: Any) -> Any:
    if kind is Size and isinstance(value, int | str):
        return Size(parse_size(value))
    raise NotImplementedError(kind)


def _check(config: Config) -> None:
    limits, pool = config.limits, config.pool
    problems = {
        f"[limits.default] {name} must not exceed [limits.max] {name}": (
            getattr(limits.default, name) > getattr(limits.max, name)
        )
        for name in LimitValues.__struct_fields__
    }
    problems |= {
        "[limits.default] tmp must be less than half of memory": limits.default.tmp * 2
        >= limits.default.memory,
        "[sessions] ttl must not exceed ttl_max": config.sessions.ttl > config.sessions.ttl_max,
        "[history] max_bytes must be at least 1MiB": config.history.max_bytes < _MIB,
        "[pool] min must not exceed max": pool.min > pool.max,
        "[pool] max must be at least 1": pool.max < 1,
        "[pool] starts must be at least 1": pool.starts < 1,
    }
    for problem, found in problems.items():
        if found:
            raise ConfigError(f"configuration: {problem}")

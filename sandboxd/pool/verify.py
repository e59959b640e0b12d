"""Isolation verified, not assumed: what a container proves, against what was asked for.

The guest reads its container's limits from the kernel; its first child gives the
kernel's words on itself, the last thing before it would run a program. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sandboxd.engine.port import Resources

_INNER_ID = "1000"
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_FILTER = "2"
_FILTERS = 2
"""The container's seccomp filter and the guest's own."""
_PAGE = 4096
_CPU_PERIOD = 100_000
_OFF_BY = 0.02
"""Quotas are rounded by the engine."""
_GVISOR = {"CapAmb": "0", "NoNewPrivs": "1"}
"""What its kernel does not tell, since it knows neither ambient capabilities nor how a
program could gain any."""


def is_gvisor(hello: Mapping[str, str]) -> bool:
    """Whether the container has gVisor's kernel, which is outside of the limits that the
    host's has set for it, and knows nothing of them."""
    return hello.get("kernel") == "gVisor"


def parse_status(proof: bytes) -> dict[str, str]:
    """The fields of proc_pid_status(5)."""
    pairs = (line.partition(":") for line in proof.decode(errors="replace").splitlines())
    return {name: value.strip() for name, _, value in pairs}


def container_faults(hello: Mapping[str, str], resources: Resources, uid: int) -> Iterator[str]:
    """What does not hold for a container that was to have these limits."""
    if hello.get("uid") != str(uid):
        yield f"it runs as uid {hello.get('uid')}, not {uid}"
    if is_gvisor(hello) and hello.get("namespaces") == "0":
        return  # what a run may have changed is destroyed with the container
    if hello.get("root") != "ro":
        yield "its root can be written to"
    yield from _memory_faults(hello, resources)
    if _number(hello.get("pids")) != resources.pids:
        yield f"its process limit is {hello.get('pids')}, not {resources.pids}"
    cores = _cores(hello.get("cpu", ""))
    if cores is None or abs(cores - resources.cpus) > _OFF_BY:
        yield f"its CPU quota is {hello.get('cpu')}, not {resources.cpus:g} cores"


def _memory_faults(hello: Mapping[str, str], resources: Resources) -> Iterator[str]:
    memory = _number(hello.get("memory"))
    if memory is None or abs(memory - resources.memory) >= _PAGE:
        yield f"its memory limit is {hello.get('memory')}, not {resources.memory}"
    if "memsw" in hello:
        together = _number(hello["memsw"])
        if together is None or abs(together - resources.memory) >= _PAGE:
            yield f"its memory and swap together are limited to {hello['memsw']}"
    elif _number(hello.get("swap")) != 0:
        yield f"it may swap: {hello.get('swap', 'the limit is not known')}"


def child_faults(
    status: Mapping[str, str], *, namespaces: bool, uid: int, gvisor: bool = False
) -> Iterator[str]:
    """What does not hold for a process that is about to run a program."""
    status = (_GVISOR if gvisor else {}) | dict(status)
    inner = _INNER_ID if namespaces else str(uid)
    for name in ("Uid", "Gid"):
        if set(status.get(name, "").split()) != {inner}:
            yield f"a program's {name} would be {status.get(name)}"
    for name in _CAPABILITIES:
        if status.get(name, "?").strip("0"):
            yield f"a program would have capabilities: {name} {status.get(name)}"
    if status.get("NoNewPrivs") != "1":
        yield "a program could gain privileges: NoNewPrivs is off"
    filters = _number(status.get("Seccomp_filters", str(_FILTERS)))  # since Linux 5.9
    if status.get("Seccomp") != _FILTER or filters is None or filters < _FILTERS:
        yield "a program would run without both seccomp filters"


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _cores(text: str) -> float | None:
    """Of "QUOTA" (cgroup v1, with the usual period) or "QUOTA PERIOD" (v2)."""
    parts = text.split()
    numbers = [_number(part) for part in parts]
    if not numbers or None in numbers:
        return None
    quota, period = numbers[0], numbers[1] if len(numbers) > 1 else _CPU_PERIOD
    return quota / period if quota is not None and period else None

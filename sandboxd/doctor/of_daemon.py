"""Rows on the daemon, its images, and who may talk to it and to the engine. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sandboxd.doctor.findings import DaemonFacts, Findings, Row, SocketFacts, State

_OTHERS = 0o006
"""Who is neither the owner nor in the group may connect with the right to write."""


def daemon_rows(findings: Findings) -> Iterator[Row]:
    yield _engine_socket(findings)
    if findings.daemon is not None:
        yield _user(findings.daemon)
        yield _socket(findings.daemon)
    yield _images(findings)
    if findings.daemon is not None:
        yield _running(findings.daemon)


def _engine_socket(findings: Findings) -> Row:
    name, stops = "private engine", "agents that would use the engine, which is to be root"
    address, socket = findings.address, findings.engine_socket
    if not address.startswith("unix://"):
        told = f"{address}: whoever reaches it is root there"
        return Row(name, State.MISSING, told, stops, "an engine on this host, on a Unix socket")
    if socket is None:
        told = f"{address} cannot be looked at"
        return Row(name, State.MISSING, told, stops, "ask as root")
    if socket.mode & _OTHERS:
        told = f"{_shown(socket)}: everybody on this host may use it"
        return Row(name, State.MISSING, told, stops, f"`chmod o-rw {socket.path}`")
    return Row(name, State.OK, _shown(socket), stops)


def _user(daemon: DaemonFacts) -> Row:
    name, stops = "own user", "a hole in the daemon that would be the whole host's"
    who = f"uid {daemon.uid}" if daemon.uid else "root"
    subject = f"pid {daemon.pid} is {who}" if daemon.pid else f"not running; here it would be {who}"
    if daemon.health and not daemon.pid:
        told = "it runs, and as whom cannot be seen"
        return Row(name, State.MISSING, told, stops, "ask as root")
    remedy = "`sandboxd install-units`: the service has a user of its own, and no capability"
    if daemon.uid == 0:
        return Row(name, State.MISSING, subject, stops, remedy)
    if daemon.capabilities:
        told = f"{subject}, with capabilities {daemon.capabilities:x}"
        return Row(name, State.MISSING, told, stops, remedy)
    return Row(name, State.OK, f"{subject}, without capabilities", stops)


def _socket(daemon: DaemonFacts) -> Row:
    name, stops = "private socket", "programs run by whoever was not let in"
    socket = daemon.listening
    if socket is None:
        return Row(name, State.OK, f"{daemon.socket} is not there; it will be 0660", stops)
    if socket.mode & _OTHERS:
        told = f"{_shown(socket)}: everybody on this host may run programs"
        return Row(name, State.MISSING, told, stops, f"`chmod o-rw {socket.path}`")
    return Row(name, State.OK, _shown(socket), stops)


def _images(findings: Findings) -> Row:
    name, stops = "images", "waiting for an image with the first run of a language"
    if findings.images_problem:
        told = findings.images_problem
        return Row(name, State.MISSING, told, stops, "`sandboxd images list`")
    missing = [image.subject for image in findings.images if not image.present]
    present = [image.subject for image in findings.images if image.present]
    if missing:
        told = f"not here: {', '.join(missing)}"
        return Row(name, State.MISSING, told, stops, "`sandboxd images build`")
    return Row(name, State.OK, ", ".join(present) or "none are configured", stops)


def _running(daemon: DaemonFacts) -> Row:
    name, stops = "daemon", "nothing itself: it keeps up the rest"
    told = "; ".join(daemon.problems)
    remedy = "`sandbox health`, and the daemon's log"
    match daemon.health:
        case "ok":
            return Row(name, State.OK, "serves, and is well", stops)
        case "":
            detail = f"not there: {told}" if told else "not there"
            remedy = "`sandboxd serve`, or `systemctl start sandboxd`"
            return Row(name, State.MISSING, detail, stops, remedy)
        case "down":
            return Row(name, State.BROKEN, f"down: {told}", stops, remedy)
        case other:
            return Row(name, State.MISSING, f"{other}: {told}", stops, remedy)


def _shown(socket: SocketFacts) -> str:
    return f"{socket.path} {socket.mode:04o} {socket.owner}:{socket.group}"

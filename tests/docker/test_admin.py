"""Metrics and health over HTTP on a socket of their own."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import RunningDaemon


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, Path]]:
    folder = tmp_path_factory.mktemp("watched")
    daemon, admin = RunningDaemon(folder), folder / "admin.sock"
    daemon.config.write_text(f'[admin]\nsocket = "{admin}"\n[pool]\nmin = 0\n')
    with daemon:
        yield daemon, admin


def get(path: Path, target: str, method: str = "GET") -> tuple[int, bytes]:
    connection = UnixConnection(path)
    connection.request(method, target)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_metrics_count_runs_by_language_and_status(watched: tuple[RunningDaemon, Path]) -> None:
    daemon, admin = watched
    with daemon.client() as client:
        client.run("python", "print('x' * 99)")
        client.run("python", "1/0")
        client.run("bash", "exit 0", reuse="never")
    status, text = get(admin, "/metrics")
    families = {each.name: each for each in text_string_to_metric_families(text.decode())}
    runs = {
        (sample.labels["language"], sample.labels["status"]): sample.value
        for sample in families["sandboxd_runs"].samples
        if sample.name.endswith("_total")
    }
    assert status == 200
    assert runs == {("python", "ok"): 1, ("python", "error"): 1, ("bash", "ok"): 1}
    output = next(
        sample.value
        for sample in families["sandboxd_output_bytes"].samples
        if sample.labels.get("language") == "python" and sample.name.endswith("_total")
    )
    assert output >= 100
    assert {"sandboxd_pool_members", "sandboxd_pool_waiting", "sandboxd_queue_seconds"} <= set(
        families
    )


def test_health_and_readiness_are_told_with_their_reasons(
    watched: tuple[RunningDaemon, Path],
) -> None:
    _, admin = watched
    for target in ("/healthz", "/readyz"):
        status, body = get(admin, target)
        assert status == 200
        assert json.loads(body)["checks"]["engine"]["ok"]


@pytest.mark.parametrize(
    ("method", "target", "status"), [("GET", "/nothing", 404), ("POST", "/metrics", 405)]
)
def test_anything_else_is_refused(
    watched: tuple[RunningDaemon, Path], method: str, target: str, status: int
) -> None:
    assert get(watched[1], target, method)[0] == status

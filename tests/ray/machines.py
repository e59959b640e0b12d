"""A real Ray cluster on this machine, on loopback alone."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray.cluster_utils import Cluster

from sandboxd_client.ray import SandboxCluster
from tests.support.daemon import RunningDaemon, eventually

_MEMORY = 80 * 1024 * 1024
_QUICK = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""A node that is gone is missed in seconds."""


class RayCluster:
    """A head that runs nothing, and nodes that offer a daemon each."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")

    def __enter__(self) -> Self:
        os.environ["RAY_TMPDIR"] = self._folder  # where it looks for a cluster of this machine, too
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args=self._arguments(
                num_cpus=1,
                include_dashboard=False,
                _system_config=_QUICK,
            ),
        )
        self.address = str(self._cluster.address)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        ray.shutdown()
        self._cluster.shutdown()  # type: ignore[no-untyped-call]
        eventually(lambda: not self.processes(), "nothing of Ray is left running")
        del os.environ["RAY_TMPDIR"]
        shutil.rmtree(self._folder)

    def client(self) -> SandboxCluster:
        return SandboxCluster.connect(self.address)

    def add(self, socket: Path, slots: int = 2, **environment: str) -> Any:
        """A node whose daemon listens, or will listen, on a socket."""
        return self._cluster.add_node(
            **self._arguments(
                num_cpus=4,
                resources={"sandboxd": slots},
                env_vars={"SANDBOXD_SOCKET": str(socket), **environment},
            )
        )

    def kill(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)

    def processes(self) -> list[str]:
        """Command lines of what runs for this cluster."""
        found = []
        for each in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = each.read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue  # it has just ended
            if self._folder in line:
                found.append(line)
        return found

    @staticmethod
    def _arguments(**more: Any) -> dict[str, Any]:
        return {
            "node_ip_address": "127.0.0.1",
            "object_store_memory": _MEMORY,
            **more,
        }


def small_daemon(folder: Path) -> RunningDaemon:
    """With a little of Python alone."""
    folder.mkdir()
    daemon = RunningDaemon(folder)
    daemon.config.write_text("[pool]\nmin = 0\n[languages.python]\nmin = 2\nmax = 2\n")
    return daemon

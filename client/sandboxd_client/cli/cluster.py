"""`sandbox cluster status`: the nodes of a Ray cluster, and what their daemons say."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from sandboxd_client.cli.command import Command
from sandboxd_client.cli.look import print_json, print_table

if TYPE_CHECKING:
    from sandboxd_client.ray import NodeStatus

_HEADER = ("NODE", "ADDRESS", "SLOTS", "IDLE", "BUSY", "WAITING", "RUNS", "PROBLEM")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status",))
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="of the cluster (that of this machine)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def cluster(arguments: argparse.Namespace) -> int:
    """Exits with 0 when every node's daemon answers, 1 otherwise."""
    from sandboxd_client.ray import SandboxCluster  # noqa: PLC0415 - it loads all of Ray

    with SandboxCluster.connect(arguments.address) as joined:
        nodes = joined.status()
    if arguments.json:
        print_json(nodes)
    else:
        print_table(_HEADER, [_row(node) for node in nodes])
    return 0 if nodes and all(node.problem is None for node in nodes) else 1


def _row(node: NodeStatus) -> tuple[object, ...]:
    first = (node.node[:12], node.address, node.slots)
    if node.status is None:
        return (*first, "", "", "", "", node.problem)
    pools = node.status.pools
    idle, busy = sum(pool.idle for pool in pools), sum(pool.busy for pool in pools)
    return (*first, idle, busy, node.status.queue, node.status.totals.runs, "")


COMMANDS = (Command("cluster", _add_arguments, cluster, usage="sandbox cluster status [options]"),)

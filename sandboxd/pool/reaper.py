"""Removes containers of this instance that are on nobody's books.

An instance is one socket, and its daemon holds the socket's lock: what carries
its label and is not known to it was left by an earlier one, or by a creation
whose answer was lost. Another instance's containers are never touched.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from sandboxd.engine.port import Engine

_log = structlog.get_logger("sandboxd.pool")


async def sweep(engine: Engine, labels: dict[str, str], known: Callable[[], set[str]]) -> list[str]:
    """Removes the containers that have these labels and no known name; returns their names.

    `known` is asked after the engine: a container is on the books before it
    exists, so what the engine lists and the books then lack is a stray.
    """
    listed = await engine.containers(labels)
    strays = [name for name in listed if name not in known()]
    for name in strays:
        _log.warning("stray container removed", name=name)
        await engine.remove(name)
    return strays

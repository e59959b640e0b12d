"""The driver of sessions in the engine double: runs one script after another.

It keeps to the talk that `sandboxd.run.driver` describes, and shares no code with it.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sandboxd.guest.frames import Event
from tests.support.program import Process, run_script

INTERRUPTED = 130


async def drive(process: Process) -> int:
    _tell(process, 0, 0)
    while header := await _until_newline(process):
        piece = json.loads(await _exactly(process, int(header)))
        process.code, process.args, process.value = piece["code"], piece["args"], None
        process.env |= piece["env"]
        _note(process, {"run": piece["run"]})
        task = process.piece = asyncio.create_task(run_script(process))
        try:
            await asyncio.wait([task])
        finally:
            task.cancel()
            process.piece = None
        _tell(process, piece["run"], INTERRUPTED if task.cancelled() else task.result())
    return 0


def _tell(process: Process, run: int, code: int) -> None:
    told: dict[str, Any] = {"run": run, "exit_code": code, "cpu": 0.25 * run, "memory": 4096}
    if process.value is not None:
        told["value"] = process.value
    _note(process, told)


def _note(process: Process, told: dict[str, Any]) -> None:
    process.guest.say(Event.NOTE, json.dumps(told).encode() + b"\n")


async def _until_newline(process: Process) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := await process.read(1)):
        line += byte
    return line


async def _exactly(process: Process, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await process.read(count - len(data))
    return data

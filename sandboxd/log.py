"""Structured logs: for people on a terminal, JSON lines otherwise.

Every line of a run carries `run`, and of a container `container`.
"""

from __future__ import annotations

import logging
import sys

import msgspec
import structlog

from sandboxd.config import LogConfig

_encoder = msgspec.json.Encoder(enc_hook=repr)


def configure(config: LogConfig) -> None:
    """Sends all logs, the libraries' too, to stderr in one form."""
    people = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if people
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    if not people:
        shared.append(structlog.processors.format_exc_info)
    level = logging.getLevelNamesMapping()[config.level.upper()]
    # Not by way of logging: that would double what the line of a run costs.
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.INFO))


def _to_json(event: object, **_: object) -> str:
    return _encoder.encode(event).decode()

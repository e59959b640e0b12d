"""The Grafana dashboard shows metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sandboxd.metrics import Metrics, RunSample
from sandboxd_client.protocol import PoolStatus

DASHBOARD: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "systemd" / "grafana.json").read_text()
)
_METRIC = re.compile(r"\bsandboxd_\w+")
_BY = re.compile(r"\bby \(([^)]*)\)")
_SELECTED = re.compile(r"(\w+)=~")


EXPRESSIONS = [
    (panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]
]


@pytest.fixture(scope="module")
def exposed() -> dict[str, set[str]]:
    """The labels of every metric of a daemon that has had a run."""
    pool = PoolStatus("python", "python", 1, 0, 0, 1, 0, 1, 1, 0, 0)
    metrics = Metrics(lambda: [pool], lambda: {"python": {"age": 1}}, lambda: 1)
    metrics.observe(
        RunSample(
            run="1",
            language="python",
            status="ok",
            queued=0.0,
            handed_out=0.0,
            ran=1.0,
            cpu=1.0,
            output_bytes=1,
            started_at="2026-01-01T00:00:00+00:00",
            traceparent=None,
        )
    )
    labels: dict[str, set[str]] = defaultdict(set)
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels[sample.name] |= set(sample.labels)
    return labels


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_each_panel_names_metrics_and_labels_that_exist(
    exposed: dict[str, set[str]], title: str, expression: str
) -> None:
    (metric,) = _METRIC.findall(expression)
    assert metric in exposed, title
    for names in _BY.findall(expression):
        assert set(names.split(", ")) <= exposed[metric]
    assert set(_SELECTED.findall(expression)) <= exposed[metric]


def test_its_language_is_chosen_among_those_that_have_a_pool(exposed: dict[str, set[str]]) -> None:
    (query,) = (each["query"]["query"] for each in DASHBOARD["templating"]["list"][1:])
    assert query == "label_values(sandboxd_pool_members, language)"
    assert "language" in exposed["sandboxd_pool_members"]

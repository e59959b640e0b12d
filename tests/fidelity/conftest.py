"""Both sides of all programs that were asked for, run at once before the first test."""

from __future__ import annotations

import pytest

from sandboxd_client import AsyncClient
from tests.fidelity.corpus import Case, read
from tests.fidelity.suite import Verdict, compare, daemon


@pytest.fixture(scope="session")
async def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, Verdict]:
    """Of the cases whose tests are among those that pytest runs."""
    specs = (getattr(item, "callspec", None) for item in request.session.items)
    params = [spec.params.get("case") for spec in specs if spec is not None]
    asked = [each for each in params if isinstance(each, Case)]
    languages = sorted({case.language for case in asked})
    found: dict[Case, Verdict] = {}
    with daemon(tmp_path_factory.mktemp("fidelity"), languages) as running:
        async with AsyncClient(running.socket) as client:
            await compare(read(languages), asked, client, found.__setitem__)
    return found

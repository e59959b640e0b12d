"""A program does in the sandbox what it does outside of it."""

from __future__ import annotations

import pytest

from tests.fidelity.corpus import Case, cases, read
from tests.fidelity.suite import Verdict

pytestmark = pytest.mark.timeout(900)  # images that are missing are made first


@pytest.mark.parametrize("case", cases(read()), ids=str)
def test_it_does_what_it_does_outside(case: Case, verdicts: dict[Case, Verdict]) -> None:
    assert verdicts[case].problems == []

"""Ten seconds of each fuzzer; `make fuzz` takes as many as are wanted."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, Target

SECONDS = 10.0


@pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])
def test_no_seed_and_nothing_that_is_made_of_them_finds_anything(target: Target) -> None:
    assert target.fuzz(SECONDS, lambda _: None).runs > 0

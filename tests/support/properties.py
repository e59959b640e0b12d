"""How the property tests run: no time limits, and the same examples each time in CI."""

from __future__ import annotations

from hypothesis import HealthCheck, settings


def load() -> None:
    """To be called by a folder's conftest, before its tests are made."""
    settings.register_profile(
        "sandboxd", deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    settings.load_profile("sandboxd")

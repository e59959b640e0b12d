"""Figures of matplotlib are shown with the run that made them, each in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandboxd_client import Client, Limits, RunResult, Session, State
from tests.support.daemon import RunningDaemon, eventually

CONFIG = """
[pool]
min = 0
queue_timeout = 100
[profiles.plots]
language = "python"
packages = ["matplotlib"]
"""
IMPORT = "import matplotlib.pyplot as plt\n"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("plots"))
    daemon.config.write_text(CONFIG)
    with daemon, daemon.client() as client:
        eventually(
            lambda: client.health().checks.get("image plots") is None, "its image is made", 110
        )
        yield client


@pytest.fixture
def session(stocked: Client) -> Iterator[Session]:
    with stocked.session("python", profile="plots") as session:
        assert session.run(IMPORT).stderr == ""
        yield session


def shown(result: RunResult) -> list[str]:
    data = {file.path: file.content for file in result.files}
    assert all(each.startswith(b"\x89PNG") for path, each in data.items() if path.endswith("png"))
    return list(data)


def test_two_shows_are_two_files(session: Session) -> None:
    result = session.run("plt.plot([1, 2]); plt.show()\nplt.plot([2, 1]); plt.show()")
    assert (result.stderr, shown(result)) == ("", ["figure-1.png", "figure-2.png"])
    assert result.files[0].content != result.files[1].content
    assert session.run("plt.get_fignums()").value == "[]"


def test_figures_that_were_not_shown_are_shown_at_the_end(session: Session) -> None:
    assert shown(session.run("plt.plot([1]); plt.figure();")) == ["figure-1.png", "figure-2.png"]
    assert shown(session.run("1")) == []


def test_a_figure_of_a_run_that_failed_is_that_runs(session: Session) -> None:
    failed = session.run("plt.plot([1]); raise ValueError")
    assert (failed.status, shown(failed)) == ("error", ["figure-1.png"])
    assert shown(session.run("1 + 1")) == []


@pytest.mark.parametrize("ending", ["", "; plt.show()"])
def test_a_figure_that_cannot_be_drawn_fails_its_run_and_no_other(
    session: Session, ending: str
) -> None:
    failed = session.run(f"plt.title('Ba$$in'){ending}")
    assert (failed.status, failed.state, shown(failed)) == ("error", State.KEPT, [])
    assert str(failed.stderr).endswith("This figure is not shown: it cannot be drawn.\n")
    assert "ValueError" in str(failed.stderr)
    following = session.run("plt.plot([1]); plt.show()")
    assert (following.status, shown(following)) == ("ok", ["figure-1.png"])


def test_beside_one_that_cannot_be_drawn_the_others_are_shown(session: Session) -> None:
    failed = session.run("plt.title('Ba$$in')\nplt.figure(); plt.plot([1]);")
    assert (failed.exit_code, shown(failed)) == (1, ["figure-1.png"])


@pytest.mark.parametrize(
    "code",
    [
        "%matplotlib inline\nplt.plot([1]);",
        "import matplotlib; matplotlib.use('Agg'); plt.plot([1]); plt.show()",
        "from matplotlib.pyplot import *\nplot([1]); show()",
        "figure, axes = plt.subplots(); axes.plot([1]); display(figure)",
    ],
)
def test_however_a_figure_is_shown_it_is_shown_once(session: Session, code: str) -> None:
    result = session.run(code)
    assert (result.stderr, shown(result)) == ("", ["figure-1.png"])


def test_rich_values_are_files_too(session: Session) -> None:
    colours = session.run("plt.get_cmap('viridis')")
    assert shown(colours) == ["value.html", "value.png"]
    assert b"viridis" in colours.files[0].content


def test_figures_past_what_a_run_may_give_back_are_named(session: Session) -> None:
    code = "import numpy\nfor _ in range(3): plt.imshow(numpy.random.rand(500, 500)); plt.show()"
    result = session.run(code, limits=Limits(files_total=300_000))
    assert (result.status, result.state) == ("ok", State.KEPT)
    assert len(result.files) + len(result.files_skipped) == 3
    assert result.files_skipped

"""Runs the tests of the engine on a Podman of their own: `make podman`.

What follows is handed to pytest. Left out is what changes a container in Docker's words
to see it found out, what pauses one (Podman removes none that is paused), and the
environment, to which Podman adds.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.podman import Podman

DIFFERS = (
    "test_doctor.py::test_a_limit_that_a_container_lacks_is_found_out",
    "test_doctor.py::test_refused_namespaces_are_named_and_break_nothing",
    "test_doctor.py::test_a_container_that_the_engine_refuses_is_told_in_its_words",
    "test_images.py::test_the_same_image_can_be_made_by_two_at_once",
    "test_isolation.py::test_its_environment_is_minimal",
    "test_no_namespaces.py::test_no_container_is_used_twice",
    "test_verify.py::test_a_container_with_another_setting_is_never_used[container's filter]",
    "test_lifecycle.py::test_containers_that_an_earlier_daemon_left_are_swept_at_start",
)


def main() -> int:
    with Podman() as podman:
        environment = {**os.environ, "DOCKER_HOST": podman.host}
        build = [sys.executable, "-m", "sandboxd", "images", "build"]
        subprocess.run(build, env=environment, check=True)
        left_out = [f"--deselect=tests/docker/{each}" for each in DIFFERS]
        command = [sys.executable, "-m", "pytest", *left_out, *(sys.argv[1:] or ["tests/docker"])]
        return subprocess.run(command, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

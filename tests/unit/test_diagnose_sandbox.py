"""The restrictions of the sandbox and the modules of an image, in any language's words."""

from __future__ import annotations

import pytest

from sandboxd_client.protocol import Category, DebugReport
from tests.unit.test_diagnose import failed


def python(error: str, code: str = "use()\n", **facts: object) -> DebugReport:
    stderr = (
        'Traceback (most recent call last):\n  File "/sandbox/main.py", line 1, in <module>\n'
        f"    x\n{error}\n"
    )
    return failed("python", code, stderr, **facts)


@pytest.mark.parametrize(
    "error",
    [
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "socket.gaierror: [Errno -2] Name or service not known",
        "OSError: [Errno 101] Network is unreachable",
        "OSError: [Errno 113] No route to host",
        "requests.exceptions.ConnectionError: NameResolutionError(...)",
    ],
)
def test_another_machine_is_out_of_reach(error: str) -> None:
    told = python(error, "connect('example.com')\n")
    assert told.category is Category.SANDBOX_RESTRICTION
    assert "no network" in told.explanation
    assert "`files`" in told.suggestions[0]
    assert "network=true" in told.suggestions[1]


REFUSED = [
    ("python", "urllib.error.URLError: <urlopen error [Errno 111] Connection refused>"),
    ("javascript", "Error: connect ECONNREFUSED 127.0.0.1:80\n    at x (node:net:1552:16)"),
    ("javascript", "TypeError: fetch failed\n    at x (node:x:1:1) {\n  cause: ECONNREFUSED\n}"),
    ("ruby", "/sandbox/main.rb:1:in `new': Connection refused - x (Errno::ECONNREFUSED)"),
    ("go", "panic: dial tcp [::1]:80: connect: connection refused\n"),
    ("java", 'Exception in thread "main" java.net.ConnectException: Connection refused'),
    ("bash", "/sandbox/main.sh: connect: Connection refused"),
]


@pytest.mark.parametrize(("language", "stderr"), REFUSED)
def test_a_connection_that_is_refused_was_to_the_run_itself(language: str, stderr: str) -> None:
    """Without a network no other machine can refuse one, whatever the program names."""
    told = failed(language, "connect('example.com')\n", stderr)
    assert told.category is not Category.SANDBOX_RESTRICTION
    assert "Nothing listens there in this run" in told.explanation
    assert "Start the server" in told.suggestions[0]


@pytest.mark.parametrize(("language", "stderr"), REFUSED)
def test_with_a_network_another_machine_may_have_refused_it(language: str, stderr: str) -> None:
    told = failed(language, "x\n", stderr, network=True)
    assert "on the way" in told.explanation


@pytest.mark.parametrize(
    ("language", "stderr"),
    [
        ("python", "zoneinfo._common.ZoneInfoNotFoundError: 'No time zone found with key Mars'"),
        ("javascript", "RangeError: Invalid time zone specified: Mars\n    at x (node:x:1:1)"),
        ("go", "panic: unknown time zone Mars\n"),
        ("php", "Fatal error: Uncaught Exception: Unknown or bad timezone (Mars) in main.php:1"),
    ],
)
def test_a_time_zone_that_is_not_there_has_a_wrong_name(language: str, stderr: str) -> None:
    if language == "python":
        stderr = f'Traceback (most recent call last):\n  File "/sandbox/main.py", line 1\n{stderr}'
    told = failed(language, "x\n", stderr)
    assert told.category is Category.EXCEPTION
    assert "all those of the tz database" in told.explanation


def test_with_a_network_an_unreachable_machine_is_the_programs_own_error() -> None:
    told = python("socket.gaierror: [Errno -2] Name or service not known", network=True)
    assert told.category is Category.EXCEPTION
    assert "has a network" in told.explanation


def test_a_read_only_place_is_told_with_those_that_can_be_written() -> None:
    told = python("OSError: [Errno 30] Read-only file system: '/etc/x'")
    assert told.category is Category.SANDBOX_RESTRICTION
    assert all(word in told.explanation for word in ("`/etc/x`", "/sandbox", "/tmp"))
    assert "read_only=false" in told.suggestions[1]


def test_a_place_that_stays_read_only_is_not_promised() -> None:
    told = python("OSError: [Errno 30] Read-only file system: '/proc/x'", read_only=False)
    assert told.category is Category.SANDBOX_RESTRICTION
    assert not any("read_only=false" in each for each in told.suggestions)


@pytest.mark.parametrize(
    ("language", "stderr"),
    [
        ("python", "RuntimeError: can't start new thread"),
        ("bash", "/sandbox/main.sh: fork: Resource temporarily unavailable"),
        ("sh", "/sandbox/main.sh: 0: Cannot fork"),
        ("ruby", "/sandbox/main.rb:1:in `initialize': can't create Thread: x (ThreadError)"),
        ("javascript", "Error: spawn sleep EAGAIN\n    at x (node:internal/child_process:284:19)"),
        ("go", "panic: fork/exec /usr/bin/sleep: resource temporarily unavailable\n"),
        ("c", "fork: Resource temporarily unavailable"),
        ("cpp", "pthread_create failed"),
    ],
)
def test_the_limit_of_processes_is_told_with_its_number(language: str, stderr: str) -> None:
    told = failed(language, "x\n", stderr, pids_limit=100)
    assert told.category is Category.SANDBOX_RESTRICTION
    assert "which is 100" in told.explanation
    assert "limits.pids" in told.suggestions[-1]


def test_what_would_block_is_not_taken_for_the_limit_of_processes() -> None:
    told = python("BlockingIOError: [Errno 11] Resource temporarily unavailable", "s.recv(1)\n")
    assert told.category is Category.EXCEPTION


@pytest.mark.parametrize(
    ("error", "says", "suggests"),
    [
        ("OSError: [Errno 28] No space left on device", "192 MiB", "limits.tmp"),
        ("OSError: [Errno 27] File too large", "No file", "limits.tmp"),
        ("OSError: [Errno 24] Too many open files: 'x'", "open", "Close each"),
        ("OSError: [Errno 97] Address family not supported by protocol", "sockets", "raw"),
        ("OSError: [Errno 38] Function not implemented", "system call", "another way"),
        ("PermissionError: [Errno 1] Operation not permitted", "denies", "without it"),
        ("PermissionError: [Errno 13] Permission denied: '/etc/shadow'", "`/etc/shadow`", "/tmp"),
    ],
)
def test_other_restrictions_are_told_with_what_to_do(error: str, says: str, suggests: str) -> None:
    told = python(error, tmp_limit=192 << 20)
    assert told.category is Category.SANDBOX_RESTRICTION
    assert says in told.explanation
    assert any(suggests in each for each in told.suggestions), told.suggestions


@pytest.mark.parametrize("path", ["f", "./f", "/sandbox/f", "/tmp/f", "/dev/shm/f"])
def test_a_file_of_the_programs_own_is_denied_by_its_mode_alone(path: str) -> None:
    told = python(f"PermissionError: [Errno 13] Permission denied: '{path}'")
    assert told.category is Category.EXCEPTION


@pytest.mark.parametrize(
    ("language", "stderr"),
    [
        ("ruby", "/sandboxd/ruby.rb: failed to allocate memory (NoMemoryError)"),
        ("cpp", "terminate called after throwing an instance of 'std::bad_alloc'"),
        ("java", 'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space'),
        ("rust", "memory allocation of 8589934592 bytes failed"),
    ],
)
def test_memory_that_is_refused_is_out_of_memory(language: str, stderr: str) -> None:
    told = failed(language, "x\n", stderr, memory_limit=512 << 20)
    assert told.category is Category.OUT_OF_MEMORY
    assert "512 MiB" in told.explanation


def test_a_restriction_does_not_hide_a_signal() -> None:
    told = failed("c", "x\n", "x: Permission denied: /etc/x\n", exit_code=139, signal=11)
    assert (told.category, told.error_type) == (Category.SIGNAL, "SIGSEGV")


# --- modules ---


def test_a_module_that_another_profile_has_leads_there() -> None:
    told = python(
        "ModuleNotFoundError: No module named 'pandas'",
        modules=("numpy",),
        profiles_with={"pandas": "data"},
    )
    assert told.category is Category.IMPORT_ERROR
    assert "no module `pandas`" in told.explanation
    assert "numpy" in told.explanation
    assert told.suggestions[0] == 'Run it with profile="data", which has `pandas`.'


def test_a_module_misspelt_is_put_right_from_what_there_is() -> None:
    told = python("ModuleNotFoundError: No module named 'nunpy'", modules=("numpy", "scipy"))
    assert told.suggestions[0] == "Did you mean `numpy`?"
    told = python("ModuleNotFoundError: No module named 'colections'")
    assert told.suggestions[0] == "Did you mean `collections`?"


def test_a_module_is_found_under_the_name_of_its_package_too() -> None:
    told = python(
        "ModuleNotFoundError: No module named 'sklearn.svm'", profiles_with={"scikit-learn": "ml"}
    )
    assert 'profile="ml"' in told.suggestions[0]


def test_a_module_that_the_image_has_is_not_said_to_be_missing() -> None:
    told = python("ModuleNotFoundError: No module named 'numpy.nosuch'", modules=("numpy",))
    assert "The image has `numpy`" in told.explanation
    assert not any("operator" in each for each in told.suggestions)


def test_a_module_that_nobody_has_cannot_be_installed() -> None:
    told = python("ModuleNotFoundError: No module named 'nosuchthing'")
    assert any("nothing can be installed" in each for each in told.suggestions)
    assert any("Ask the operator" in each for each in told.suggestions)
    assert "along in `files`" in told.suggestions[-1]


def test_a_part_of_the_standard_library_that_is_absent_is_told_as_that() -> None:
    told = python("ModuleNotFoundError: No module named 'tkinter'")
    assert "belongs to Python itself" in told.explanation


def test_a_long_list_of_modules_is_cut() -> None:
    many = tuple(f"package{number}" for number in range(40))
    told = python("ModuleNotFoundError: No module named 'x'", modules=many)
    assert "and 25 more" in told.explanation


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("ImportError: cannot import name 'foo' from 'os' (/usr/lib/python3.11/os.py)", "`foo`"),
        (
            "ImportError: cannot import name 'a' from partially initialized module 'b' (x)",
            "each other",
        ),
        ("ModuleNotFoundError: No module named 'os.foo'; 'os' is not a package", "single module"),
        (
            "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
            "libGL.so.1",
        ),
    ],
)
def test_other_errors_of_imports_are_explained(error: str, says: str) -> None:
    told = python(error)
    assert told.category is Category.IMPORT_ERROR
    assert says in told.explanation

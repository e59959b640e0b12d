"""Nothing of a session's driver shows in what its programs can print of themselves."""

from __future__ import annotations

import pytest

from sandboxd_client import Client, State

SHOWN = {
    "caller": (
        'f() { caller 0; echo "$LINENO ${BASH_LINENO[*]} ${FUNCNAME[*]}"; }\n\nf; caller',
        "3 main /sandbox/main.sh\n1 3 0 f main\n0 NULL\n",
    ),
    "ERR": ("trap 'echo $LINENO $BASH_COMMAND' ERR\nfalse\ntrap - ERR", "2 false\n"),
    "DEBUG": ("trap 'echo $BASH_COMMAND' DEBUG\ntrue", "true\n"),
    "DEBUG afterwards": ("trap - DEBUG", "trap - DEBUG\n"),
    "RETURN": (
        "set -T; trap 'echo back' RETURN; f() { :; }; f; trap - RETURN; f; set +T",
        "back\n",
    ),
    "trap -p": ("trap -p; jobs; history; alias", ""),
    "functions": ("unset -f f; declare -F; compgen -b | grep -v '^[a-z]*$'", ".\n:\n[\n"),
    "builtins": ("enable -a | grep -c cells; type cells 2>&1", "0\nbash: type: cells: not found\n"),
    "variables": ("set | grep -i -e sandboxd -e ^__ -e '^_[a-z]'", ""),
    "descriptors": ("ls /proc/self/fd", "0\n1\n2\n3\n"),
    "files": ("ls -A; ls -A /tmp /dev/shm", "main.sh\n/dev/shm:\n\n/tmp:\n"),
    "options": ("echo $- $0", "hB /sandbox/main.sh\n"),
}
TRACED = {
    "set -x\necho 1\nset +x": "+ echo 1\n+ set +x\n",
    "set -x; f() { echo in; }; f": "+ f\n+ echo in\n",
    "set +x; set -v\necho 1\nset +v": "+ set +x\necho 1\nset +v\n",
    "\nnosuch": "/sandbox/main.sh: line 2: nosuch: command not found\n",
}


def test_a_shell_shows_the_programs_lines_alone(client: Client) -> None:
    with client.session("bash") as session:
        for code, shown in SHOWN.values():
            result = session.run(code)
            said = str(result.stdout).replace("/sandbox/main.sh: line 1:", "bash:")
            assert (said, result.stderr) == (shown, ""), code
        for code, traced in TRACED.items():
            assert session.run(code).stderr == traced, code


RUBYS = """
def where = [caller, caller_locations.map(&:to_s), caller(0).size]
p where, Thread.current.backtrace.size, local_variables
begin; raise 'x'; rescue => error; p error.backtrace, error.full_message(highlight: false); end
p Object.constants.grep(/sandboxd/i), Kernel.caller, $0 == __FILE__
""".strip()
RUBY_SHOWS = """
[["<cell 1>:2:in `<main>'"], ["<cell 1>:2:in `<main>'"], 2]
1
[:error]
["<cell 1>:3:in `<main>'"]
"<cell 1>:3:in `<main>': x (RuntimeError)\\n"
[]
[]
true
""".lstrip()


def test_ruby_shows_the_programs_frames_alone(client: Client) -> None:
    with client.session("ruby") as session:
        result = session.run(RUBYS)
        assert (result.stdout, result.stderr) == (RUBY_SHOWS, "")


def test_node_shows_the_programs_frames_and_names_alone(client: Client) -> None:
    plain = client.run("javascript", "console.log(Object.keys(globalThis).join())").stdout
    with client.session("javascript") as session:
        assert session.run("console.log(Object.keys(globalThis).join())").stdout == plain
        assert session.run("Object.getOwnPropertySymbols(globalThis).map(String)").value == (
            "[ 'Symbol(Symbol.toStringTag)' ]"
        )
        assert session.run("new Error('x').stack.split('\\n')").value == (
            "[ 'Error: x', '    at <cell 3>:1:1' ]"
        )


LATE = {
    "javascript": (
        """let go; const said = new Promise((done) => { go = done }).then(() => {
            console.log('late'); console.error('late'); process.exit(9) });""",
        "go(); await new Promise((d) => setTimeout(d, 10)); console.log('own')",
    ),
    "ruby": (
        "$go = Queue.new; t = Thread.new { $go.pop; puts 'late'; $stderr.puts 'late'; p 1 }",
        "$go << 1; t.join; puts 'own'",
    ),
}


@pytest.mark.parametrize("language", LATE)
def test_what_a_run_goes_on_to_print_is_in_no_later_output(client: Client, language: str) -> None:
    """Neither does it end a later run."""
    leaves, wakes = LATE[language]
    with client.session(language) as session:
        assert session.run(leaves).stdout == ""
        result = session.run(wakes)
        assert (result.stdout, result.stderr, result.exit_code) == ("own\n", "", 0)
        assert session.run("1").state is State.KEPT


def test_a_thread_or_a_timer_prints_in_its_own_run(client: Client) -> None:
    codes = {
        "javascript": "await new Promise((d) => setTimeout(() => { console.log('own'); d() }))",
        "ruby": "Thread.new { Thread.new { puts 'own' }.join }.join",
    }
    for language, code in codes.items():
        with client.session(language) as session:
            session.run(LATE[language][0])
            assert session.run(code).stdout == "own\n"

"""All that a shell knows lives on from one run of a Bash session to the next."""

from __future__ import annotations

import pytest

from sandboxd_client import Client

KNOWS = {
    "the status of the last command": ("false", "echo $?", "1\n"),
    "the status that a function returned": ("f() { return 7; }; f", "echo $?", "7\n"),
    "the status that a run left with": ("exit 3", "echo $?", "3\n"),
    "the status of what set -u or set -e ended": ("set -e; (exit 5)", "echo $?; set +e", "5\n"),
    "the status of a line that is none": ("if; then", "echo $?", "2\n"),
    "the statuses of a pipeline": ("false | (exit 3)", 'echo "${PIPESTATUS[@]}"', "1 3\n"),
    "the last argument": ("echo a b >&2", 'echo "$_"', "b\n"),
    "the last process in the background": ("(exit 4) &", "wait $!; echo $?", "4\n"),
    "jobs": ("sleep 60 &", 'jobs -r | grep -c "sleep 60"; kill %1', "1\n"),
    "clocks": ("SECONDS=500", "echo $((SECONDS / 100))", "5\n"),
    "traps": ("trap 'echo usr1' USR1", "kill -USR1 $$; trap - USR1", "usr1\n"),
    "options": (
        "set -fu; shopt -s nullglob",
        "echo ${-//[!fu]} $(shopt -q nullglob; echo $?)",
        "fu 0\n",
    ),
    "aliases": ("shopt -s expand_aliases; alias hi='echo hello'", "hi", "hello\n"),
    "functions, for children too": ("f() { echo $1; }; export -f f", "bash -c 'f x'", "x\n"),
    "the folder": ("mkdir d; cd d", "echo $PWD; dirs; echo $OLDPWD", "/sandbox/d\n~/d\n/sandbox\n"),
    "the umask and limits": ("umask 027; ulimit -n 99", "umask; ulimit -n", "0027\n99\n"),
    "kinds of variables": (
        "declare -i n=5; declare -A m=([k]=v)",
        "n+=2; echo $n ${m[k]}",
        "7 v\n",
    ),
    "files it has open": ("exec 5<<<text", "read -u 5 line; echo $line", "text\n"),
    "a match": ("[[ foo =~ o+ ]]", "echo $BASH_REMATCH", "oo\n"),
    "where commands are": ("hash -p /bin/echo foo", "foo found", "found\n"),
}


@pytest.mark.parametrize(("first", "then", "shows"), KNOWS.values(), ids=KNOWS)
def test_it_knows(client: Client, first: str, then: str, shows: str) -> None:
    with client.session("bash") as session:
        session.run(first)
        result = session.run(then)
        assert (result.stdout, result.exit_code) == (shows, 0)


def test_a_run_of_which_nothing_ran_has_not_failed_and_leaves_the_status(client: Client) -> None:
    with client.session("bash") as session:
        assert session.run("(exit 4)").exit_code == 4
        assert session.run("# only a comment").exit_code == 0
        assert session.run("echo $?").stdout == "4\n"

"""Kinds of state in Bash, which is started anew for each program."""

from __future__ import annotations

from tests.attack.residue.kinds import Dialect, Kind

_PROGRAM = r"""
what=$1 marker=$2
named() { # whether a "bash -c" is named by the marker: what is only to become one does not last
    local folder words
    for folder in /proc/[0-9]*; do
        mapfile -d "" words 2>&- < "$folder/cmdline"
        [[ "${words[*]}" == "bash -c "*"$marker" ]] && return
    done
    return 1
}
all_of() { # calls with every process that can be seen, others may be out of reach
    local folder
    for folder in /proc/[0-9]*; do "$@" "${folder#/proc/}" >&- 2>&-; done
}
first_pid() { first=$(exec sh -c 'echo $$'); }
first_pid
{kinds}
"""

_KIND = """
plant() {{ {plant}; }}
[ "$what" = plant ] && plant
if {find}; then echo '{name}'; fi
"""

_KINDS = {
    "process": Kind(
        'setsid bash -c "sleep 1000; : $marker" 0<&- >&- 2>&- & until named; do :; done', "named"
    ),
    "file in /tmp": Kind(': > "/tmp/$marker"', '[ -e "/tmp/$marker" ]'),
    "file in the work folder": Kind(': > "/sandbox/$marker"', '[ -e "/sandbox/$marker" ]'),
    "file in /dev/shm": Kind(': > "/dev/shm/$marker"', '[ -e "/dev/shm/$marker" ]'),
    "named pipe": Kind('mkfifo "/tmp/pipe-$marker"', '[ -p "/tmp/pipe-$marker" ]'),
    "used room": Kind(
        "head -c 16M /dev/zero > /tmp/big",
        '[ "$(df --output=used -k /tmp | tail -n 1)" -gt 8192 ]',
    ),
    "sysv shared memory": Kind("ipcmk --shmem 4096 >&2", '[ "$(ipcs -m | wc -l)" -gt 4 ]'),
    "sysv semaphore": Kind("ipcmk --semaphore 1 >&2", '[ "$(ipcs -s | wc -l)" -gt 4 ]'),
    "sysv queue": Kind("ipcmk --queue >&2", '[ "$(ipcs -q | wc -l)" -gt 4 ]'),
    "lock of a file": Kind(
        "setsid flock /etc/hostname sleep 1000 0<&- >&- 2>&- & "
        "while flock --nonblock /etc/hostname true; do :; done",
        "! flock --nonblock /etc/hostname true",
    ),
    "niceness of all that can be seen": Kind(
        "all_of renice --priority 7 --pid", '[ "$(nice)" = 7 ]'
    ),
    "i/o priority of all that can be seen": Kind(
        "all_of ionice --class idle --pid", '[ "$(ionice --pid $$)" = idle ]'
    ),
    "scheduling of all that can be seen": Kind(
        "all_of chrt --batch --pid 0", "chrt --pid $$ | grep -q SCHED_BATCH"
    ),
    "pid numbers": Kind("for _ in {1..20}; do (:); done; first_pid", '[ "$first" -gt 20 ]'),
}

_OWN = {
    "process limit": Kind("ulimit -S -n 100", '[ "$(ulimit -S -n)" = 100 ]'),
    "umask": Kind("umask 077", '[ "$(umask)" = 0077 ]'),
    "folder it is in": Kind("cd /usr", '[ "$PWD" != /sandbox ]'),
    "variable": Kind("left=$marker", '[ -n "$left" ]'),
    "environment": Kind('export LEFT="$marker"', 'env | grep -q "^LEFT="'),
    "function": Kind("left() { :; }", "declare -F left > /dev/null"),
    "changed command": Kind("ls() { :; }", '[ "$(type -t ls)" = function ]'),
    "alias": Kind("alias left=ls", "alias left > /dev/null 2>&1"),
    "trap": Kind("trap : USR1", '[ -n "$(trap -p USR1)" ]'),
    "option": Kind("set -f; shopt -s nullglob", "shopt -q nullglob"),
    "open descriptors": Kind("exec 77</dev/null", "[ -e /proc/$$/fd/77 ]"),
    "command paths": Kind("hash -p /bin/true left", "hash -t left >&- 2>&-"),
}

BASH = Dialect("bash", _PROGRAM, _KIND, _KINDS, _OWN)

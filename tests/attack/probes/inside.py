"""What a program of each language has from those before it in its container: guest,
template, runner. It should be nothing."""

from __future__ import annotations

from tests.attack.probe import Control, Expect, Probe, Where

# Each prints its descriptors above 2 that do not read this very list, the names of its
# environment, its other processes, and what it is; or with an argument, opens one more and
# sets one more, which must show.
_PROGRAMS = {
    "python": """
import os, sys
if sys.argv[1:]:
    os.dup2(0, 77); os.environ["GIVEN"] = "x"
fds = {int(fd) for fd in os.listdir("/proc/self/fd")} - {3}
print(*sorted(fds))
print(*sorted(set(os.environ) - {"LC_CTYPE"}))
print(os.getuid(), os.getgid(), *os.getgroups(), os.getcwd(), os.uname().nodename)
""",
    "bash": """
if [ -n "$1" ]; then exec 77<&0; export GIVEN=x; fi
gap=()
for path in /proc/$$/fd/*; do # the glob itself had one more, and Bash has its own above 200
    [ -e "$path" ] && [ "${path##*/}" -lt 200 ] && open+=("${path##*/}")
done
echo "${open[*]}"
env | cut -d= -f1 | grep -v -x -e SHLVL -e _ -e PWD -e OLDPWD | sort | paste -s -d ' '
echo "$(id -u) $(id -g) $(pwd) $(uname -n)"
""",
    "sh": """
if [ -n "$1" ]; then exec 7<&0; export GIVEN=x; fi
for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12 255; do
    case $(readlink "/proc/$$/fd/$fd") in /sandbox/main.sh | '') ;; *) echo "$fd";; esac
done | sort -n | paste -s -d ' '
env | cut -d= -f1 | grep -v -x -e SHLVL -e _ -e PWD -e OLDPWD | sort | paste -s -d ' '
echo "$(id -u) $(id -g) $(pwd) $(uname -n)"
""",
    "javascript": """
const fs = require('fs'), os = require('os');
if (process.argv[2]) { fs.openSync('/etc/hostname'); process.env.GIVEN = 'x'; }
// Node's own are of kinds that nobody could have left to it.
const own = /anon_inode|^pipe:|socket:|\\/proc\\/|\\/dev\\/(null|urandom)/;
console.log(...fs.readdirSync('/proc/self/fd').map(Number).filter((fd) => {
  let where;
  try { where = fs.readlinkSync(`/proc/self/fd/${fd}`); } catch { return false; } // this list's
  return fd < 3 || !own.test(where);
}).sort((a, b) => a - b));
console.log(...Object.keys(process.env).sort());
console.log(process.getuid(), process.getgid(), process.cwd(), os.hostname());
""",
    "ruby": """
if ARGV[0]
  $kept = File.open("/etc/hostname")
  ENV["GIVEN"] = "x"
end
own = /anon_inode|eventfd|\\/proc\\/|main.rb/
fds = Dir.children("/proc/self/fd").map(&:to_i).select do |fd|
  fd < 3 || File.readlink("/proc/self/fd/#{fd}") !~ own
rescue Errno::ENOENT
  false
end
puts fds.sort.join(" "), ENV.keys.sort.join(" ")
puts [Process.uid, Process.gid, Dir.pwd, `uname -n`.chomp].join(" ")
""",
    "go": """
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

func main() {
	if len(os.Args) > 1 {
		os.Open("/etc/hostname")
		os.Setenv("GIVEN", "x")
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	var fds, names []string
	for _, entry := range entries {
		target, err := os.Readlink("/proc/self/fd/" + entry.Name())
		// Its runtime has an epoll, a pipe to wake that up, and this very list.
		own := strings.HasPrefix(target, "anon_inode") || strings.HasPrefix(target, "/proc/") ||
			strings.HasPrefix(target, "pipe:") && entry.Name() > "2"
		if err == nil && !own {
			fds = append(fds, entry.Name())
		}
	}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); name != "PWD" && name != "OLDPWD" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	folder, _ := os.Getwd()
	host, _ := os.Hostname()
	fmt.Println(strings.Join(fds, " "))
	fmt.Println(strings.Join(names, " "))
	fmt.Println(os.Getuid(), os.Getgid(), folder, host)
}
""",
}

_ENVIRONMENT = "HOME HOSTNAME LANG OMP_NUM_THREADS PATH TMPDIR"
_MORE = "GIVEN HOME HOSTNAME LANG OMP_NUM_THREADS PATH TMPDIR"
_WHO = "1000 1000( 1000| 65534)* /sandbox sandbox"

PROBES = tuple(
    Probe(
        name=f"what a program in {language} has",
        language=language,
        program=program,
        heavy=language == "go",
        expect=Expect(says=f"0 1 2( 255)?\n{_ENVIRONMENT}\n{_WHO}\n"),
        control=Control(Where.MILDER, f"0 1 2 [0-9]+( 255)?\n{_MORE}\n{_WHO}\n", args=("more",)),
    )
    for language, program in _PROGRAMS.items()
)

"""Kinds of state in JavaScript, whose interpreter is started anew for each program."""

from __future__ import annotations

from tests.attack.residue.kinds import Dialect, Kind

_PROGRAM = r"""
const fs = require('fs'), net = require('net'), os = require('os');
const { execFileSync, spawn } = require('child_process');
const plants = process.argv[2] === 'plant', marker = process.argv[3];
const port = 1024 + parseInt(marker.slice(0, 6), 16) % 60000;

const files = (folder) => fs.readdirSync(folder).some((name) => name.includes(marker));
const pids = () => fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
const others = () => pids().filter((pid) => pid !== process.pid).map((pid) => {
  try { return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8'); } catch { return ''; }
});
const connects = (where) => new Promise((resolve) => {
  const probe = net.connect(where, () => { probe.destroy(); resolve(true); });
  probe.on('error', () => resolve(false));
});
// A daemonised child that outlives the program and listens; resolves once it does.
const keep = () => new Promise((resolve) => {
  const code = `require('net').createServer().listen(${port}, '127.0.0.1', () => console.log(1))`;
  const child = spawn(process.execPath, ['-e', code], {
    detached: true, stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.stdout.once('data', () => { child.unref(); child.stdout.destroy(); resolve(); });
});
const nextPid = () => Number(execFileSync('sh', ['-c', 'echo $$']));
let first = nextPid();
(async () => {
{kinds}
})();
"""

_KIND = """
if (plants) {{ {plant}; }}
if ({find}) console.log('{name}');
"""

_KINDS = {
    "process": Kind(
        "spawn('sleep', ['1000'], { argv0: marker, detached: true, stdio: 'ignore' }).unref()",
        "others().some((line) => line.includes(marker))",
    ),
    "file in /tmp": Kind("fs.writeFileSync('/tmp/' + marker, '')", "files('/tmp')"),
    "file in the work folder": Kind(
        "fs.writeFileSync('/sandbox/' + marker, '')", "files('/sandbox')"
    ),
    "file in /dev/shm": Kind("fs.writeFileSync('/dev/shm/' + marker, '')", "files('/dev/shm')"),
    "used room": Kind(
        "fs.writeFileSync('/tmp/big', Buffer.alloc(16 << 20))",
        "((state) => (state.blocks - state.bfree) * state.bsize > 8 << 20)(fs.statfsSync('/tmp'))",
    ),
    "tcp port": Kind(
        "await keep()",
        "await connects({ port, host: '127.0.0.1' })",
    ),
    "niceness of all that can be seen": Kind(
        "for (const pid of pids()) try { os.setPriority(pid, 7); } catch {}",
        "os.getPriority() === 7",
    ),
    "pid numbers": Kind(
        "execFileSync('bash', ['-c', 'for _ in {1..50}; do (:); done']); first = nextPid()",
        "first > 50",
    ),
}

_OWN = {
    "global": Kind("globalThis.left = marker", "globalThis.left === marker"),
    "environment": Kind("process.env.LEFT = marker", "process.env.LEFT === marker"),
    "changed prototype": Kind("Array.prototype.left = marker", "[].left === marker"),
    "changed module": Kind("os.left = marker", "require('os').left === marker"),
    "changed builtin": Kind("JSON.parse = () => 42", "JSON.parse('1') === 42"),
    "cached module": Kind("require.cache[marker] = {}", "marker in require.cache"),
    "listener": Kind("process.on('SIGUSR2', () => {})", "process.listenerCount('SIGUSR2')"),
    "name of the process": Kind("process.title = marker", "process.title === marker"),
    "folder it is in": Kind("process.chdir('/usr')", "process.cwd() !== '/sandbox'"),
    "umask": Kind("process.umask(0o77)", "process.umask() === 0o77"),
}

JAVASCRIPT = Dialect("javascript", _PROGRAM, _KIND, _KINDS, _OWN)

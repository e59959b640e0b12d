"""Kinds of state in Ruby, whose interpreter is started anew for each program."""

from __future__ import annotations

from tests.attack.residue.kinds import Dialect, Kind

_PROGRAM = r"""
require "socket"
$plants, $marker = ARGV[0] == "plant", ARGV[1]
$port = 1024 + $marker.to_i(16) % 60000

def files(folder) = Dir.children(folder).any? { |name| name.include?($marker) }
def pids = Dir.children("/proc").grep(/\A\d+\z/).map(&:to_i)
def others = (pids - [$$]).map { |pid| File.read("/proc/#{pid}/cmdline") rescue "" }

# A daemonised child that outlives the program; returns once it is there.
def keep(name = $marker)
  reader, writer = IO.pipe
  child = fork do
    Process.setsid
    $0 = name
    kept = yield
    [$stdin, $stdout, $stderr].each { |stream| stream.reopen("/dev/null") }
    writer.write("up")
    writer.close
    sleep
    kept
  end
  writer.close
  reader.read
  Process.detach(child)
end

def connects
  yield.close
  true
rescue Errno::ECONNREFUSED
  false
end

def next_pid = Process.wait(fork { exit! })

$first = next_pid
{kinds}
"""

_KIND = """
if $plants
  {plant}
end
puts "{name}" if {find}
"""

_KINDS = {
    "process": Kind("keep {}", "others.any? { |line| line.include?($marker) }"),
    "file in /tmp": Kind('File.write("/tmp/" + $marker, "")', 'files("/tmp")'),
    "file in the work folder": Kind('File.write("/sandbox/" + $marker, "")', 'files("/sandbox")'),
    "file in /dev/shm": Kind('File.write("/dev/shm/" + $marker, "")', 'files("/dev/shm")'),
    "tcp port": Kind(
        'keep("server") { TCPServer.new("127.0.0.1", $port) }',
        'connects { TCPSocket.new("127.0.0.1", $port) }',
    ),
    "abstract socket": Kind(
        'keep("server") { UNIXServer.new("\\0" + $marker) }',
        'connects { UNIXSocket.new("\\0" + $marker) }',
    ),
    "lock of a file": Kind(
        'keep("lock") { File.open("/etc/hostname").tap { |file| file.flock(File::LOCK_EX) } }',
        'File.open("/etc/hostname") { |file| !file.flock(File::LOCK_EX | File::LOCK_NB) }',
    ),
    "niceness of all that can be seen": Kind(
        "pids.each { |pid| Process.setpriority(Process::PRIO_PROCESS, pid, 7) rescue nil }",
        "Process.getpriority(Process::PRIO_PROCESS, 0) == 7",
    ),
    "pid numbers": Kind("20.times { next_pid }; $first = next_pid", "$first > 20"),
}

_OWN = {
    "global": Kind("$left = $marker", "$left == $marker"),
    "constant": Kind("Left = $marker", "defined?(Left)"),
    "environment": Kind('ENV["LEFT"] = $marker', 'ENV["LEFT"] == $marker'),
    "changed class": Kind("class String; def left = 1; end", '"".respond_to?(:left)'),
    "changed function": Kind("module Kernel; def srand(*) = 42; end", "srand == 42"),
    "seed": Kind("Kernel.srand(7)", "Kernel.rand == Random.new(7).rand"),
    "process limit": Kind(
        "Process.setrlimit(:NOFILE, 100)", "Process.getrlimit(:NOFILE)[0] == 100"
    ),
    "umask": Kind("File.umask(0o77)", "File.umask == 0o77"),
    "folder it is in": Kind('Dir.chdir("/usr")', 'Dir.pwd != "/sandbox"'),
    "trap": Kind('trap("USR1", "IGNORE")', 'trap("USR1", "DEFAULT") == "IGNORE"'),
    "path of modules": Kind("$:.unshift($marker)", "$:.include?($marker)"),
}

RUBY = Dialect("ruby", _PROGRAM, _KIND, _KINDS, _OWN)

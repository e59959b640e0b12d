"""Sockets that a program is denied, and those of the host that it must not reach."""

from __future__ import annotations

from tests.attack.probe import C, Control, Expect, Probe, Where
from tests.attack.probes.calls import number

_UNIX, _INET, _INET6, _NETLINK, _PACKET, _VSOCK = 1, 2, 10, 16, 17, 40
_ALLOWED = (_UNIX, _INET, _INET6, _NETLINK)
_FAMILIES = [family for family in range(50) if family not in _ALLOWED]
_STREAM, _DGRAM, _RAW, _SEQPACKET = 1, 2, 3, 5
_ABOVE = 1 << 32
"""The kernel looks at the lower half of these arguments alone."""


def _calls(name: str, *lines: tuple[int | str, ...]) -> tuple[str, ...]:
    words = [[str(number(name)), *map(str, line), "--"] for line in lines]
    return tuple(word for line in words for word in line)[:-1]


def _refused(name: str, control: Where, args: tuple[str, ...], errno: str) -> Probe:
    count = args.count("--") + 1
    return Probe(
        name=name,
        language=C,
        program="call",
        args=args,
        expect=Expect(says=f"({errno}\n){{{count}}}"),
        control=Control(control),
    )


_CONNECT = {
    "python": """
import socket, sys
for family, kind, address in (
    (socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", int(sys.argv[1]))),
    (socket.AF_UNIX, socket.SOCK_STREAM, "\\0" + sys.argv[2]),
):
    with socket.socket(family, kind) as probe:
        print("refused" if probe.connect_ex(address) else "connected")
""",
    "bash": """
if exec 5<> "/dev/tcp/127.0.0.1/$1"; then echo connected; else echo refused; fi 2>/dev/null
""",
    "javascript": """
const probe = require('net').connect(Number(process.argv[2]), '127.0.0.1');
probe.on('connect', () => { console.log('connected'); probe.destroy(); });
probe.on('error', () => console.log('refused'));
""",
    "ruby": """
require "socket"
begin
  TCPSocket.new("127.0.0.1", ARGV[0].to_i)
  puts "connected"
rescue SystemCallError
  puts "refused"
end
""",
}

PROBES = (
    _refused(
        "families of sockets",
        Where.ROOT,
        _calls("socket", *((f, kind, 0) for f in _FAMILIES for kind in (_STREAM, _DGRAM, _RAW))),
        "EAFNOSUPPORT",
    ),
    _refused(
        "netlink but for route",
        Where.USER,
        _calls("socket", *((_NETLINK, _RAW, protocol) for protocol in range(1, 32))),
        "EAFNOSUPPORT",
    ),
    _refused(
        "families in half an argument",
        Where.USER,
        _calls(
            "socket",
            (_ABOVE | _VSOCK, _STREAM, 0),
            (_ABOVE | _NETLINK, _RAW, 9),
            (_NETLINK, _RAW, _ABOVE | 9),
            (_ABOVE, _STREAM, 0),
        ),
        "EAFNOSUPPORT",
    ),
    _refused(
        "pairs of sockets of other families",
        Where.USER,
        _calls(
            "socketpair", *((f, kind, 0, "z:8") for f in (_PACKET, _VSOCK, 30) for kind in (1, 5))
        ),
        "EAFNOSUPPORT",
    ),
    _refused(
        "raw sockets",
        Where.ROOT,
        _calls("socket", (_INET, _RAW, 1), (_INET6, _RAW, 58), (_INET, _RAW, 255)),
        "EPERM",
    ),
    _refused(
        "input pushed into a terminal",
        Where.USER,
        _calls("ioctl", (0, 0x5412, "s:x"), (0, 0x541C, "s:x"), (0, _ABOVE | 0x5412, "s:x")),
        "EPERM",
    ),
    Probe(
        name="control of the network",
        language="python",
        program="""
import fcntl, socket, struct
probe = socket.socket()
for name, request, value in (
    ("up", 0x8914, struct.pack("16sH22x", b"lo", 0)),
    ("address", 0x8916, struct.pack("16sHH4s16x", b"lo", 2, 0, bytes([10, 0, 0, 1]))),
    ("mtu", 0x8922, struct.pack("16si20x", b"lo", 1000)),
):
    try:
        fcntl.ioctl(probe, request, value)
    except OSError as error:
        print(error.errno)
    else:
        print(name)
""",
        expect=Expect(says="1\n1\n1\n"),
        control=Control(Where.OWN, "up\naddress\nmtu\n"),
    ),
    Probe(
        name="datagrams to the host",
        language="python",
        program="""
import socket, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(("127.0.0.1", int(sys.argv[1])))
probe.send(b"x")
probe.settimeout(0.05)
try:
    probe.recv(1)
except ConnectionRefusedError:
    print("nobody there")
except TimeoutError:
    print("taken")
""",
        args=("{udp}",),
        expect=Expect(says="nobody there\n"),
        control=Control(Where.USER, "taken\n"),
    ),
    *(
        Probe(
            name=f"listeners of the host from {language}",
            language=language,
            program=program,
            args=("{port}", "{abstract}"),
            expect=Expect(says="(refused\n)+"),
            control=Control(Where.CONTAINER_HOST, "(connected\n)+"),
        )
        for language, program in _CONNECT.items()
    ),
    Probe(
        name="sockets of the host's file system",
        language="python",
        program="""
import os, stat
for folder in ("/run", "/tmp"):
    for top, _, names in os.walk(folder):
        for path in (os.path.join(top, name) for name in names):
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode): print("socket")
            except OSError:
                pass
print("end")
""",
        expect=Expect(says="end\n"),
        control=Control(Where.USER, "(socket\n)+end\n"),
    ),
)

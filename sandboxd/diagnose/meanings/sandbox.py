"""What a program meets of the sandbox around it, by what it is told then."""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from sandboxd.diagnose.meaning import Meaning
from sandboxd_client.protocol import Category


class Only(enum.Enum):
    """What else must be so for a restriction to be the cause."""

    NETWORK_OFF = enum.auto()
    NETWORK_ON = enum.auto()
    READ_ONLY = enum.auto()
    OUTSIDE = enum.auto()
    """The error is about a path outside the places that can be written."""


class Restriction(NamedTuple):
    """The texts may name `{path}` and the limits `{pids}`, `{tmp}` and `{memory}`."""

    pattern: re.Pattern[str]
    meaning: Meaning
    only: tuple[Only, ...]
    context: re.Pattern[str] | None
    """What must stand in the trace, or anywhere in the error."""
    category: Category | None
    """None leaves that of the error as it is."""


def _restriction(
    pattern: str,
    explanation: str,
    *suggestions: str,
    only: tuple[Only, ...] = (),
    context: str = "",
    category: Category | None = Category.SANDBOX_RESTRICTION,
) -> Restriction:
    return Restriction(
        re.compile(pattern),
        Meaning(explanation, suggestions),
        only,
        re.compile(context) if context else None,
        category,
    )


_NO_NETWORK = (
    "Send what it needs along, in `files` or on stdin, instead of fetching it.",
    "Run it with network=true, where the operator allows that.",
)
_INSTALL = (
    "Do it with what the image has.",
    "Ask the operator for an image or a profile with what is needed.",
)

RESTRICTIONS = (
    _restriction(
        r"(?i)temporary failure in name resolution|\bEAI_AGAIN\b|\bENOTFOUND\b|"
        r"name or service not known|could ?n.t resolve|could not resolve|unable to resolve|"
        r"no address associated|nodename nor servname|wget: bad address|Bad hostname|"
        r"\blookup \S+(?: on \S+)?:|NameResolutionError|UnknownHostException|failed to lookup",
        "The sandbox has no network, so no name but localhost and the run's own can be looked "
        "up: the program asked for another machine, and a run reaches none.",
        *_NO_NETWORK,
        only=(Only.NETWORK_OFF,),
    ),
    _restriction(
        r"(?i)network is unreachable|\bENETUNREACH\b|no route to host|\bEHOSTUNREACH\b|"
        r"network is down|Failed to connect to (?!localhost|127\.|\[?::1)",
        "The sandbox has no network: the program tried to connect to another machine, "
        "and there is no way to any.",
        *_NO_NETWORK,
        only=(Only.NETWORK_OFF,),
    ),
    _restriction(
        r"(?i)temporary failure in name resolution|name or service not known|\bEAI_AGAIN\b|"
        r"\bENOTFOUND\b|network is unreachable|\bENETUNREACH\b|no route to host|"
        r"\bEHOSTUNREACH\b|connection timed out|\bETIMEDOUT\b|UnknownHostException",
        "The run has a network, and still the other machine could not be found or reached.",
        "Check the name and the address.",
        "Try it again a few times: networks fail now and then.",
        only=(Only.NETWORK_ON,),
        category=None,
    ),
    _restriction(
        r"(?i)connection refused|\bECONNREFUSED\b|failed to connect to",
        "Nothing listens there in this run. A run has a loopback of its own: servers of the "
        "machine around it are not on it, only those that the program itself starts.",
        "Start the server in the program, and wait until it listens.",
        only=(Only.NETWORK_OFF,),
        category=None,
    ),
    _restriction(
        r"(?i)connection refused|\bECONNREFUSED\b|failed to connect to",
        "Nothing listens there, or something on the way turned the program down.",
        "Check the address and the port.",
        category=None,
    ),
    _restriction(
        r"No time zone found with key|UnknownTimeZoneError|Unknown time-zone ID|"
        r"Invalid time zone specified|unknown time zone|Unknown or bad timezone|"
        r"TZInfo::InvalidTimezoneIdentifier",
        "No time zone has that name. The image has all those of the tz database.",
        "Use a name of that, such as Europe/Berlin: /usr/share/zoneinfo has a file for each.",
        category=None,
    ),
    _restriction(
        r"(?i)read-only file ?system|\bEROFS\b",
        "The root file system of a run is read-only, so{path} cannot be written. Files can "
        "be made in the work folder /sandbox, which is the current one, and in /tmp.",
        "Write to the work folder or to /tmp instead.",
        "Run it with read_only=false for a root file system of its own that can be written.",
        only=(Only.READ_ONLY,),
    ),
    _restriction(
        r"(?i)read-only file ?system|\bEROFS\b",
        "What the program tried to write{path} is a part of the system that stays read-only, "
        "also where the root file system is not.",
        "Write to the work folder /sandbox or to /tmp instead.",
    ),
    _restriction(
        r"(?i)resource temporarily unavailable|\bEAGAIN\b|BlockingIOError|errno=11",
        "The run has as many processes and threads as it may have at once{pids}; more can be "
        "started only when others have ended.",
        "Start fewer at once: use a pool of a few workers, and wait for those that end.",
        "Allow more with limits.pids, as far as the operator allows.",
        context=r"\bfork|[Tt]hread|spawn|subprocess|Popen|newosproc|clone",
    ),
    _restriction(
        r"can't start new thread|[Cc]annot fork|can't create Thread|"
        r"failed to create new OS thread|newosproc|pthread_create failed|"
        r"unable to create (?:new )?native thread|thread creation failed|cannot create thread",
        "The run has as many processes and threads as it may have at once{pids}; more can be "
        "started only when others have ended.",
        "Start fewer at once: use a pool of a few workers, and wait for those that end.",
        "Allow more with limits.pids, as far as the operator allows.",
    ),
    _restriction(
        r"(?i)no space left on device|\bENOSPC\b|disk quota exceeded|\bEDQUOT\b",
        "The program has written all that it may: the work folder, /tmp and /dev/shm "
        "together have a limit{tmp}, and they hold a bounded number of files.",
        "Write less, and remove files that are no longer needed.",
        "Allow more with limits.tmp, as far as the operator allows.",
    ),
    _restriction(
        r"(?i)file too large|\bEFBIG\b|file size limit exceeded",
        "No file may be larger than the most that any run may write, whatever part of it is "
        "only a hole.",
        "Make it no larger than what is to be in it: limits.tmp bounds all that is written.",
    ),
    _restriction(
        r"(?i)too many open files|\bEMFILE\b|\bENFILE\b",
        "The program has as many files and sockets open as it may have at once.",
        "Close each when it is done with: use `with`, a block, or `defer`.",
        "Open them one after the other instead of all at once.",
    ),
    _restriction(
        r"MemoryError\b|NoMemoryError|failed to allocate memory|(?i:cannot allocate memory)|"
        r"\bENOMEM\b|heap out of memory|Array buffer allocation failed|bad_alloc|"
        r"runtime: out of memory|OutOfMemoryError|memory allocation of \d+ bytes failed|"
        r"not enough memory|Allowed memory size of",
        "The program asked for more memory than there is{memory}.",
        "See that the size is the one that was meant: a single request may have been huge.",
        "Work on the data piece by piece.",
        "Give it more with limits.memory, as far as the operator allows.",
        category=Category.OUT_OF_MEMORY,
    ),
    _restriction(
        r"dpkg frontend lock|/var/lib/(?:dpkg|apt)|are you root\?|[Mm]ust be (?:run as )?root|"
        r"Unable to lock database|externally-managed-environment",
        "Nothing can be installed into the system while a program runs: it is an ordinary "
        "user there.",
        *_INSTALL,
    ),
    _restriction(
        r"(?i)address family not supported|\bEAFNOSUPPORT\b|socket type not supported",
        "The sandbox has sockets of the kinds unix, IPv4 and IPv6 only.",
        "Use one of those: raw packets and other kinds are denied.",
    ),
    _restriction(
        r"(?i)function not implemented|\bENOSYS\b",
        "The sandbox does not have that system call.",
        "Do it another way: calls that manage the machine, or watch other programs, are not there.",
    ),
    _restriction(
        r"(?i)operation not permitted|\bEPERM\b",
        "The sandbox denies that: a program has no rights over the system, such as mounting, "
        "tracing, raw sockets, changing users or making namespaces.",
        "Do without it: nothing gives a run these rights.",
    ),
    _restriction(
        r"(?i)invalid argument|\bEINVAL\b",
        "There is but one user in a run, with no way to be or to name another.",
        "Leave out the change of user, group or owner.",
        context=r"set(?:e|re|res|fs)?[ug]id|setgroups|ch(?:own|grp)|changing ownership",
    ),
    _restriction(
        r"(?i)permission denied|\bEACCES\b",
        "The program is an ordinary user and may not touch{path}: it belongs to the system.",
        "Use files in the work folder /sandbox or in /tmp instead.",
        "Send the file along in `files` if the program needs its content.",
        only=(Only.OUTSIDE,),
    ),
    _restriction(
        r"(?i)permission denied|\bEACCES\b",
        "An ordinary user may not use that port or socket.",
        "Use a port above 1023.",
        context=r"\bbind|\blisten|\bsocket|\.createServer|TCPServer",
    ),
)

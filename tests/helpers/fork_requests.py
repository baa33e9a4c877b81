"""Requests to the fork server over a Unix socket. This module imports little, so that `stand_in` starts at once.

A connection carries one request. The fork server answers with process ids when the command has started, and with the
exit code when the command has ended. If the connection is closed earlier, the command is killed.
"""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Request:
    """A command to run: `python -m PROGRAM` with some arguments."""

    program: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    mount: str = ""
    """A shell script that mounts something in a mount namespace, which exists until the connection is closed."""
    namespace: int = 0
    """The process id of an earlier request's supervisor, whose mounts this command shares; 0 for a new namespace."""
    memory: int | None = None
    """How many bytes of address space the command may take in addition to those it has at its start."""
    under_parent: bool = False
    """True to put a process between the command and the fork server, as DVC stands between a command and a shell."""


class Forked:
    """A command that the fork server has started.

    Args:
        address: the path of the fork server's socket.
        request: the command.
        out: the file descriptor for standard output.
        err: the file descriptor for standard error.
    """

    def __init__(self, address: str, request: Request, out: int, err: int) -> None:
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(address)
        message = json.dumps(asdict(request)).encode() + b"\n"
        socket.send_fds(self.connection, [message[:1]], [out, err])
        self.connection.sendall(message[1:])
        self._answers = self.connection.makefile("rb", buffering=0)  # with a buffer, select would miss an answer
        answer = self._answers.readline()
        assert answer, "the fork server has ended, or no namespaces are allowed here"
        self.pid, self.supervisor = map(int, answer.split())

    def exit_code(self) -> int:
        """Wait for the command to end; return its exit code, or minus the number of the signal that ended it."""
        return int(self._answers.readline() or -signal.SIGKILL)

    def close(self) -> None:
        """Kill the command if it is still running."""
        self._answers.close()
        self.connection.close()


def stand_in(address: str) -> None:
    """Act as `python -m ...`: let the fork server run the module, pass signals on, and exit with its exit code.

    All other command lines are run by the real Python.
    """
    if sys.argv[1:2] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    _, _, program, *arguments = sys.argv
    request = Request(program, arguments, os.getcwd(), dict(os.environ))
    forked = Forked(address, request, sys.stdout.fileno(), sys.stderr.fileno())

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(forked.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    code = forked.exit_code()
    sys.exit(code if code >= 0 else 128 - code)  # as in a shell

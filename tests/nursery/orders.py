"""Orders for the nursery, over a Unix socket. It imports little, so that a stand-in for Python starts at once."""

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Order:
    """A command to run: `python -m PROGRAM` with some arguments."""

    program: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    mount: str = ""
    """A shell script that mounts something, in a namespace that all orders over one connection share."""
    memory: int | None = None
    """Bytes of address space that it may take beyond what it and PyTorch have at its start."""
    under_parent: bool = False
    """True for a process between it and the nursery, as DVC is between a command and a shell."""


def connect(address: str) -> socket.socket:
    """Connect to the nursery; what it forks over a connection is killed when that is closed."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    return connection


def send(connection: socket.socket, order: Order, out: int, err: int) -> tuple[int, int]:
    """Have a command forked that writes to two files.

    Returns:
        Its process id, and a file that has its exit code once it has ended, and nothing if the nursery was killed.
    """
    status, theirs = os.pipe()
    message = json.dumps(asdict(order)).encode() + b"\n"
    socket.send_fds(connection, [message[:1]], [out, err, theirs])
    connection.sendall(message[1:])
    os.close(theirs)
    pid = int(connection.recv(100) or 0)
    assert pid, "the nursery has ended"
    return pid, status


def exit_code(status: int) -> int:
    """Wait for the end of a command; a signal that ended it is a negative number."""
    return int(os.read(status, 100) or -signal.SIGKILL)


def stand_in(address: str) -> None:
    """Be `python -m ...` for whoever runs it: wait for a fork of the nursery, and pass on the signals for it.

    Any other command is Python's own.
    """
    if sys.argv[1:2] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    _, _, program, *arguments = sys.argv
    with connect(address) as connection:
        order = Order(program, arguments, os.getcwd(), dict(os.environ))
        pid, status = send(connection, order, sys.stdout.fileno(), sys.stderr.fileno())

        def pass_on(number: int, _: object) -> None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pass_on)
        code = exit_code(status)
    sys.exit(code if code >= 0 else 128 - code)  # as a shell has it

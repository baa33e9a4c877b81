"""A real PostgreSQL server on loopback, for testing a store that a team shares."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.helpers.processes import LIMIT, wait_for
from tests.helpers.servers import free_port

PLACES = ("/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt")
"""Folders into which Debian and Homebrew install PostgreSQL's programs, and which are not in PATH."""
NOBODY = 65534


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs; skip the test if PostgreSQL is not installed."""
    if found := shutil.which(name):
        return found
    for place in PLACES:
        if there := sorted(Path(place).glob(f"*/bin/{name}")):
            return str(there[-1])
    pytest.skip(f"PostgreSQL is not installed: there is no {name}; Debian's package is called postgresql")


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server, and yield the URI of its database.

    PostgreSQL refuses to run as root, so if the user is root, the server runs as the user nobody.
    """
    owner = NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as scratch:
        folder, port = Path(scratch), free_port()
        if owner is not None:
            os.chown(folder, owner, owner)
        options = ["--username=team", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
        subprocess.run(
            [program("initdb"), "--pgdata", str(folder / "data"), *options],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=LIMIT,
            user=owner,
        )
        command = [program("postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, user=owner)
        try:
            ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
            wait_for(lambda: process.poll() is not None or subprocess.run(ready).returncode == 0)
            assert process.poll() is None, (folder / "log").read_text()
            yield f"postgresql://team@127.0.0.1:{port}/postgres"
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)  # SIGTERM would wait for clients to disconnect
            process.wait()


def database_of(server: str, name: str) -> str:
    """Create a database, and return its URI; ``server`` is the URI of another database on the same server."""
    uri = f"{server.rpartition('/')[0]}/{name}"
    subprocess.run([program("createdb"), "--maintenance-db", server, name], check=True, timeout=LIMIT)
    return uri

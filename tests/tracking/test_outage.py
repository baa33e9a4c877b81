"""Which errors count as failures of the store, and when a store that has failed is tried again."""

import errno
import socket

import pytest
import requests
import urllib3
from alembic.util.exc import CommandError
from mlflow.exceptions import MissingConfigException, MlflowException
from sqlalchemy.exc import OperationalError

from pipeline.errors import UserError
from pipeline.tracking.outage import Outage, root_cause


@pytest.mark.parametrize(
    "error",
    [
        MlflowException("no such run"),
        MissingConfigException("no such file"),
        OperationalError("select 1", {}, Exception("the database is locked")),
        CommandError("no such revision"),
        requests.ConnectionError("refused"),
        requests.Timeout("20 s"),
        urllib3.exceptions.ProtocolError("broken off"),
        urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("host"), "/", "20 s"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        TimeoutError("20 s"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_the_store_is_one_warning(error: Exception) -> None:
    lines: list[str] = []
    outage = Outage("there", lines.append)
    for _ in range(2):
        with outage.attempt():
            raise error
    assert outage.lasts
    (line,) = lines
    assert line.startswith("MLflow: the store there failed (")
    assert "`uv run pipeline track` then logs what is missing" in line


@pytest.mark.parametrize(
    "error",
    [TypeError(), ValueError(), KeyError(), AttributeError(), AssertionError(), ZeroDivisionError(), UserError()],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_a_bug(error: Exception) -> None:
    outage = Outage("there", pytest.fail)
    with pytest.raises(type(error)), outage.attempt():
        raise error
    assert not outage.lasts


def test_the_longer_an_attempt_takes_the_later_is_the_next() -> None:
    lines, now, seconds = list[str](), [0.0], [10.0]

    def clock() -> float:
        return now[0]

    outage = Outage("there", lines.append, clock)

    def is_tried(at: float) -> bool:
        now[0] = at
        return outage.is_worth_a_try

    def fail(reason: str) -> None:
        with outage.attempt():
            now[0] += seconds.pop() if seconds else 0
            raise ConnectionError(reason)

    assert is_tried(0)
    fail("refused")  # this takes ten seconds, so the next attempt is after a hundred
    assert [outage.lasts] == [True]
    assert [is_tried(at) for at in (10, 109, 110)] == [False, False, True]
    fail("again")  # this fails at once
    assert [is_tried(at) for at in (110, 139, 140)] == [False, False, True]
    with outage.attempt():
        pass
    assert not outage.lasts
    assert [line.partition(";")[0] for line in lines] == [
        "MLflow: the store there failed (refused)",
        "MLflow: the store there is back",
    ]


def test_the_cause_of_an_error_is_the_innermost_one() -> None:
    try:
        try:
            raise ValueError("the cause\nand more")
        except ValueError as error:
            raise RuntimeError("a wrapper") from error
    except RuntimeError as error:
        assert root_cause(error) == "the cause"
    assert root_cause(KeyError()) == "KeyError"

"""The private parts of Ray that joining a cluster needs. They have no public counterpart:

- Ray prints a page about each lost node, and has no setting against that.
- `ray.init("auto")` looks for the cluster of this machine, but tries for minutes if its head is gone.
- With a wrong token, or none, `ray.init` ends this process in C++, without an exception.

A test names each part that a new version of Ray lacks.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UserError

TRIED = "2.60"
"""The version of Ray that these parts were tried with."""


def hide_error_pages() -> None:
    """Print nothing about lost nodes; the engine reports each in a line."""
    with _same_ray():
        from ray._private import worker

        worker.print_to_stdstream = lambda *_, **__: None


def running_head() -> str:
    """Return HOST:PORT of the head that this machine's cluster has, or had.

    Raises:
        ConnectionError: no node runs on this machine.
    """
    with _same_ray():
        from ray._private import services

        return str(services.get_ray_address_from_environment("auto", None))


def check_token(address: str) -> None:
    """Connect to a head, with the token of this machine if there is one.

    Raises:
        ray.exceptions.AuthenticationError: the head wants a token, or another one.
    """
    with _same_ray():
        from ray._private.authentication import authentication_token_setup as tokens
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        tokens.ensure_token_if_auth_enabled(None, create_token_if_missing=False)
        GcsClient(address=address)


@contextmanager
def _same_ray() -> Iterator[None]:
    """Raise a `UserError` that names the version if this Ray lacks something."""
    import ray

    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"--cluster: needs Ray {TRIED}, but {ray.__version__} is installed ({error})") from None

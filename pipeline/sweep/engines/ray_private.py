"""Functions that use the private parts of Ray that are needed to join a cluster.

Ray's public interface cannot solve these problems:

- Ray prints a page of text about each lost node, and no setting prevents that.
- With the address `auto`, Ray finds this machine's cluster, but tries to connect for minutes if the head is gone.
- If the token is wrong or missing, Ray's C++ code ends this process without an exception.

If a new version of Ray lacks one of these parts, a test fails and names the missing part.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import UserError

TRIED = "2.60"
"""The version of Ray that this module was tested with."""


def hide_error_pages() -> None:
    """Prevent Ray from printing text about lost nodes; the engine reports each lost worker in one line."""
    with _same_ray():
        from ray._private import worker

        worker.print_to_stdstream = lambda *_, **__: None


def running_head() -> str:
    """Return HOST:PORT of the head of this machine's cluster, even if the head is no longer running.

    Raises:
        ConnectionError: no cluster node is running on this machine.
    """
    with _same_ray():
        from ray._private import services

        return str(services.get_ray_address_from_environment("auto", None))


def check_token(address: str) -> None:
    """Check this machine's token, if it has one, by connecting to the head at ``address``.

    Raises:
        ray.exceptions.AuthenticationError: the token is wrong or missing.
    """
    with _same_ray():
        from ray._private.authentication import authentication_token_setup as tokens
        from ray._raylet import GcsClient  # type: ignore[attr-defined]

        tokens.maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        tokens.ensure_token_if_auth_enabled(None, create_token_if_missing=False)
        GcsClient(address=address)


@contextmanager
def _same_ray() -> Iterator[None]:
    """If the installed Ray lacks a part that the block uses, raise a `UserError` that names the tested version."""
    import ray

    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"--cluster: needs Ray {TRIED}, but {ray.__version__} is installed ({error})") from None

"""The installed version of Ray still has the private functions and classes that `ray_private` uses."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray import _raylet
from ray._private import services, worker
from ray._private.authentication import authentication_token_setup as tokens

from pipeline.errors import UserError
from pipeline.sweep.engines import ray_private

ADVICE = (
    f"Ray {ray.__version__} has changed a private part that pipeline/sweep/engines/ray_private.py uses: adapt it, and "
    f"set TRIED there, which is {ray_private.TRIED}"
)


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_this_version_has_been_tried() -> None:
    assert ray.__version__.startswith(f"{ray_private.TRIED}."), ADVICE


def test_pages_about_lost_nodes_are_printed_by_one_function() -> None:
    assert "print_to_stdstream" in worker.listen_error_messages.__code__.co_names, ADVICE


def test_the_cluster_of_this_machine_is_found_by_one_function() -> None:
    assert parameters(services.get_ray_address_from_environment) == ["addr", "temp_dir"], ADVICE


def test_a_token_is_checked_before_anything_else() -> None:
    assert parameters(tokens.maybe_enable_token_auth_if_token_available) == ["warn_if_disabled"], ADVICE
    assert parameters(tokens.ensure_token_if_auth_enabled) == ["system_config", "create_token_if_missing"], ADVICE
    assert hasattr(_raylet, "GcsClient"), ADVICE


def test_another_version_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(services, "get_ray_address_from_environment")
    with pytest.raises(UserError, match=rf"^--cluster: needs Ray {ray_private.TRIED}, but {ray.__version__} is"):
        ray_private.running_head()

"""The URI of a project's store, and the errors if a store cannot be used."""

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.tracking.client import connect, shown, store_uri
from tests.helpers.project import FOREIGN

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def test_the_store_is_mlflow_db_in_the_root_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example.org")
    assert store_uri(tmp_path) == "http://tracking.example.org"


@pytest.mark.parametrize("name", ["50% off", "100%25 a%b", "why?"])
def test_a_path_with_special_characters_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The path is relative to the project or, in `dvc exp run --temp`, to DVC's copy of the project."""
    root = tmp_path / name
    copy = root / ".dvc" / "tmp" / "exps" / "copy"
    copy.mkdir(parents=True)
    monkeypatch.chdir(root)
    assert store_uri(Path()) == "sqlite:///mlflow.db"
    monkeypatch.chdir(copy)
    assert store_uri(root) == "sqlite:///../../../../mlflow.db"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("sqlite:////dev/null/mlflow.db", "File exists"),
        ("postgres-ish://x", "postgres-ish"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch, uri: str, reason: str) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI to another") as raised:
        connect(uri, "digits-mlp")
    line = str(raised.value)
    assert f"the store {uri} cannot be used" in line
    assert reason in line
    assert "\n" not in line


def test_a_deleted_experiment_is_one_line(root: Path) -> None:
    uri = store_uri(root)
    client = connect(uri, "digits-mlp")
    client.delete_experiment(client.create_experiment("digits-mlp"))
    with pytest.raises(UserError, match="`uv run mlflow experiments restore --experiment-id 1` brings it back"):
        connect(uri, "digits-mlp")


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert shown("postgresql://team:se:c%40ret@db/mlflow") == "postgresql://team:***@db/mlflow"
    assert shown("http://team@host:5000/a") == "http://team@host:5000/a"
    assert shown("sqlite:////a/b@c/mlflow.db") == "sqlite:////a/b@c/mlflow.db"
    with pytest.raises(UserError) as raised:
        connect("http://team:secret@127.0.0.1:9", "digits-mlp")
    assert "http://team:***@127.0.0.1:9 cannot be used" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("uri", ["mysql://127.0.0.1/mlflow", "http://[::1", "sqlite:mlflow.db"])
def test_an_unusable_address_is_one_line(uri: str) -> None:
    """Either the driver of the database is not installed, or the address cannot be parsed."""
    with pytest.raises(UserError, match="set MLFLOW_TRACKING_URI to another"):
        connect(uri, "digits-mlp")

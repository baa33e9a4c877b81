from pathlib import Path

import pytest

from pipeline.datasets import fetch, imdb
from tests.datasets.reviews import Mirror, digest
from tests.helpers.data import archive


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A function that puts an archive of reviews into a mirror; the digests of `REVIEWS` replace the published ones."""
    monkeypatch.setattr(imdb, "DIGESTS", {part: digest(part) for part in ("train", "test")})
    monkeypatch.setattr(imdb, "URL", "http://127.0.0.1:9/aclImdb_v1.tar.gz")
    monkeypatch.setattr(imdb, "VAL_EXAMPLES", 10)
    monkeypatch.setattr(fetch, "RETRIES", 0)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror"))
    file = tmp_path / "mirror" / "imdb" / "aclImdb_v1.tar.gz"
    file.parent.mkdir(parents=True)

    def make(files: dict[str, str], mode: str = "w:gz") -> None:
        file.write_bytes(archive({name: text.encode() for name, text in files.items()}, mode))

    return make

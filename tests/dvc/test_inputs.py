"""DVC repeats a stage whenever something changes that can change the stage's outputs, and at no other time."""

import shutil
from pathlib import Path

import pytest

from tests.dvc.clones import dvc, executed
from tests.helpers.data import draw_pictures
from tests.helpers.project import FOREIGN, edit

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]


def test_what_the_user_changes_trains_again(small: Path) -> None:
    """DVC notices a change to the user's model or pictures, although dvc.yaml does not list them."""
    draw_pictures(small / "pictures", 20, (8, 8), "png")
    model = "import math, torch\ndef build(shape, outputs):\n    layer = torch.nn.Linear(math.prod(shape), outputs)\n"
    (small / "my_model.py").write_text(f"{model}    return torch.nn.Sequential(torch.nn.Flatten(), layer)\n")
    changes = {"dataset": "{name: image-folder, path: pictures, size: [8, 8]}", "model": "my_model:build"}
    edit(small, **{f"tasks__digits-mlp__{key}": value for key, value in changes.items()})
    assert executed(dvc(small, "repro", "train")) == ["plan", "download", "train"]

    (small / "my_model.py").write_text(
        f"{model}    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Tanh(), layer)\n"
    )
    out = dvc(small, "repro", "train")
    assert executed(out) == ["plan", "train"]
    assert "trained 2 runs and took 0 from the cache" in out

    for picture in [*(small / "pictures").rglob("*.png")]:  # so many that some are training examples
        shutil.copy(picture, picture.with_name(f"more-{picture.name}"))
    out = dvc(small, "repro", "train")
    assert executed(out) == ["plan", "download", "train"]
    assert "trained 2 runs and took 0 from the cache" in out

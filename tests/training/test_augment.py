"""Augmentation does to each picture what torchvision does; random numbers depend on the seed, epoch and batch."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from pipeline.datasets import Split, Summary
from pipeline.datasets.augment import Augmentation, Draw, Transform, apply
from pipeline.errors import UserError
from pipeline.training.loop import train
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.helpers.project import load
from tests.training.fitting import CPU, Splits, equal, fitted, runs

TRANSFORMS: list[dict[str, Any]] = [
    {"name": "RandomHorizontalFlip"},
    {"name": "RandomVerticalFlip", "p": 0.3},
    {"name": "RandomCrop", "size": [12, 10]},
    {"name": "RandomCrop", "size": [12, 10], "padding": [1, 4]},
    {"name": "RandomCrop", "size": 12, "padding": 2, "padding_mode": "reflect"},
    {"name": "RandomCrop", "size": [12, 14], "pad_if_needed": True, "fill": 0.5},
    {"name": "RandomCrop", "size": [12, 12]},
    {"name": "RandomErasing", "p": 0.7, "value": "random"},
    {"name": "RandomResizedCrop", "size": [12, 12]},
    {"name": "RandAugment", "num_ops": 1},
    {"name": "ColorJitter", "brightness": 0.4, "hue": 0.1},
]


@pytest.mark.parametrize("settings", TRANSFORMS, ids=lambda each: each["name"])
def test_a_batch_equals_torchvisions_transform_of_each_picture(settings: dict[str, Any]) -> None:
    transform = Transform.model_validate(settings).build()
    kind = getattr(v2, settings["name"])
    pictures = torch.rand(20, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    expected = torch.stack([kind(**{key: settings[key] for key in settings if key != "name"})(p) for p in pictures])
    after = torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(apply(transform, pictures), expected)
    assert torch.equal(torch.get_rng_state(), after)


def augmented(draws: list[Draw], *names: str) -> torch.Tensor:
    """For each draw, return 40 transformed copies of a picture."""
    picture = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    transforms = [Transform(name=name) for name in names or ("RandomHorizontalFlip", "RandomVerticalFlip")]
    return Augmentation(transforms, CPU)(picture.expand(len(draws), 40, 1, 8, 8), draws)


def test_each_picture_has_its_own_draw() -> None:
    (batch,) = augmented([(0, 1, 0)])
    assert len({picture.numpy().tobytes() for picture in batch}) == 4


def test_draws_depend_only_on_seed_epoch_and_batch() -> None:
    draws = [(0, 1, 0), (1, 1, 0), (0, 2, 0), (0, 1, 1)]
    together = augmented([*draws, *draws])
    assert torch.equal(together[:4], together[4:])
    assert len({each.numpy().tobytes() for each in together}) == 4
    torch.manual_seed(5)
    state = torch.get_rng_state()
    for place, draw in enumerate(draws):
        assert torch.equal(augmented([draw])[0], together[place])
    assert torch.equal(torch.get_rng_state(), state)


def test_transforms_that_do_not_fit_are_one_line() -> None:
    for name, says in (
        ("RGB", "the transforms turn pictures of 1 x 8 x 8 into 3 x 8 x 8"),
        ("RandomZoomOut", "Random"),
    ):
        with pytest.raises(UserError, match=f"^augment: {says}"):
            augmented([(0, 1, 0)], name)


def test_runs_are_paired(summary: Summary, splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with the same seed see the same pictures with every scheduler, whether alone or in a stack."""
    few = Split(splits[0].x[:96], splits[0].y[:96]), Split(splits[1].x[:20], splits[1].y[:20])
    settings = {"tasks__digits-mlp__augment": ["RandomHorizontalFlip"]}
    chosen = runs(2, 96, scheduler=["cosine", "onecycle"], seeds=2, **settings)
    seen: dict[int, list[torch.Tensor]] = {}
    take = TrainingSet.take

    def watched(self: TrainingSet, batch: Any, draws: Any = ()) -> Any:
        x, y = take(self, batch, draws)
        if draws:  # without draws, the loop wants only the size of a batch
            for draw, each in zip(draws, x, strict=True):
                seen.setdefault(draw[0], []).append(each)
        return x, y

    monkeypatch.setattr(TrainingSet, "take", watched)
    found: Iterator[Any] = train([Training(run, summary, CPU) for run in chosen], *few)
    for _ in found:
        pass
    stacked = {seed: each[::2] for seed, each in seen.items()}
    assert all(
        torch.equal(one, other) for each in seen.values() for one, other in zip(each[::2], each[1::2], strict=True)
    )
    for run in chosen[:2]:
        seen.clear()
        fitted(run, summary, few)
        for one, other in zip(seen[run.seed], stacked[run.seed], strict=True):
            assert torch.equal(one, other)


def test_augmentation_does_not_change_dropout(summary: Summary, splits: Splits) -> None:
    few = Split(splits[0].x[:96], splits[0].y[:96]), splits[1]
    changes: dict[str, Any] = {"scheduler": "cosine", "seeds": 1, "tasks__digits-mlp__epochs": 2}
    changes["tasks__digits-mlp__model"] = {"name": "tests.training.fitting:drops"}
    still = {"tasks__digits-mlp__augment": [{"name": "RandomHorizontalFlip", "p": 0.0}]}
    (plain, same) = (fitted(load(**changes, **more).runs(96)[0], summary, few) for more in ({}, still))
    assert plain[0] == same[0]
    assert equal(plain[1], same[1])

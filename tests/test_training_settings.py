"""A sweep with all optional settings of training: clipping, smoothing, augmentation, bfloat16 and others."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.runs import records
from tests.helpers.commands import Command
from tests.helpers.project import EVERYTHING, edit, tracked


@pytest.mark.slow
def test_a_sweep_with_all_options(project: Path, pipeline: Command) -> None:
    changes: dict[str, Any] = EVERYTHING | {"augment": "[RandomVerticalFlip,{name:RandomCrop,size:[8,8],padding:1}]"}
    changes |= {"no_decay": "[bias,norm]", "epochs": 2}
    named = {f"+tasks__digits-mlp__{key}": value for key, value in changes.items() if key != "epochs"}
    edit(project, scheduler="[constant,onecycle]", seeds=1, **{"tasks__digits-mlp__epochs": 2}, **named)
    done = pipeline("train", PIPELINE_JOBS="1")
    assert done.returncode == 0, done.stderr
    (constant, onecycle) = (records.read(project / "models" / f"{name}-s0") for name in ("constant", "onecycle"))
    assert onecycle.run.batches == 12  # 34 batches with three batches per optimizer step
    assert len(constant.epochs) == len(onecycle.epochs) == 2
    assert constant.epochs[0].train_loss != onecycle.epochs[0].train_loss
    for run in tracked(f"sqlite:///{project}/mlflow.db"):
        assert run.data.params["accumulate"] == "3"
        assert run.data.params["augment.1.padding"] == "1"
    exported = pipeline("export", "onecycle").stdout
    assert "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)" in exported
    assert "STEPS_PER_EPOCH = 12" in exported


def test_transforms_that_change_the_size_are_refused_before_training(project: Path, pipeline: Command) -> None:
    edit(project, seeds=1, **{"+tasks__digits-mlp__augment": "[{name:Pad,padding:1}]"})
    done = pipeline("train", PIPELINE_JOBS="1")
    assert done.returncode == 2
    assert (
        "augment: the transforms turn pictures of 1 x 8 x 8 into 1 x 10 x 10; the shape must not change" in done.stderr
    )

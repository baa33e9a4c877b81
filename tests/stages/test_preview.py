"""Curves are drawn without training; if the task's data are prepared, the curves have the task's real length."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.stages import preview
from tests.helpers.project import edit


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), width=100)


def shown(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_curve_is_drawn_with_formula_settings_and_source(project: Path, screen: Console) -> None:
    target = preview.draw(screen, ["cosine"], epochs=20, lr=0.3)
    assert target == Path("results/schedules.png")
    assert target.read_bytes().startswith(b"\x89PNG")
    for part in ("T_max=20", "arXiv:1608.03983", "cos(π · t/T_max)"):
        assert part in shown(screen), part


def test_a_setting_can_be_changed_and_a_likely_mistake_is_a_warning(project: Path, screen: Console) -> None:
    preview.draw(screen, ["cosine"], epochs=200, settings=["T_max=100"], png=Path("curve.png"))
    assert "warning: cosine: T_max is 100 epochs, shorter than the run of 200" in shown(screen)
    assert Path("curve.png").exists()


def test_an_epoch_has_the_batches_of_the_data_or_a_hundred(project: Path, screen: Console) -> None:
    preview.draw(screen, ["onecycle"], epochs=10)
    assert f"total_steps={10 * 34}" in shown(screen)
    preview.draw(screen, ["onecycle"], task="mnist-mlp", epochs=10)
    assert "total_steps=1000" in shown(screen)


def test_lengths_in_optimizer_steps_need_the_data(project: Path, screen: Console) -> None:
    steps = ["interval=batch", "T_max=1360 steps"]
    preview.draw(screen, ["cosine"], settings=steps)
    assert "interval=batch, T_max=1360, eta_min" in shown(screen)
    assert "warning" not in shown(screen)
    with pytest.raises(UserError, match=r"^cosine has lengths in optimizer steps, which need the data of mnist-mlp"):
        preview.draw(screen, ["cosine"], task="mnist-mlp", settings=steps)
    edit(project, **{"tasks__mnist-mlp__train_subset": 12800})
    preview.draw(screen, ["cosine"], task="mnist-mlp", epochs=2, settings=["T_max=200 steps"])
    assert "interval=epoch, T_max=2, eta_min" in shown(screen)


def test_a_mistake_is_one_line_and_draws_nothing(project: Path, screen: Console) -> None:
    with pytest.raises(UserError, match="unknown setting 'tmax'; did you mean 'T_max'"):
        preview.draw(screen, ["cosine"], settings=["tmax=3"])
    assert not Path("results").exists()


def test_the_table_has_every_scheduler(project: Path, screen: Console, capsys: pytest.CaptureFixture[str]) -> None:
    preview.print_table(screen)
    preview.print_table(screen, markdown=True)
    for text in (shown(screen), capsys.readouterr().out):
        assert "CosineAnnealingLR" in text
        assert "wsd-sqrt" in text

from pathlib import Path

from pipeline import datasets
from pipeline.datasets.wine import Wine


def test_wines_have_thirteen_measurements_and_three_growers(tmp_path: Path) -> None:
    summary = datasets.prepare(Wine(), tmp_path, tmp_path)
    assert (summary.input_shape, len(summary.classes), sum(summary.examples.values())) == ([13], 3, 178)
    x = datasets.read(tmp_path, "train").x
    assert x.mean(0).abs().max() < 0.3

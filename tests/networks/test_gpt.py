"""The transformer does not see later tokens, has GPT-2's initial weights, and can be trained and resumed."""

import math
from copy import deepcopy
from typing import Any

import pytest
import torch

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.datasets.text_file import TextFile
from pipeline.networks.gpt import GPT
from pipeline.networks.modules import Decoder
from pipeline.runs import params
from pipeline.training.loop import train
from pipeline.training.state import Training
from tests.helpers.data import TEXT, TEXT_FILE
from tests.helpers.project import load
from tests.training.fitting import CPU, Splits, equal, fitted

CONTEXT, WIDTH, LAYERS = 16, 12, 3
SMALL = {"model": {"name": "gpt", "layers": 2, "heads": 2, "width": 16, "dropout": 0.1}, "epochs": 2}


def gpt(vocabulary: int = 50, dropout: float = 0.0, width: int = WIDTH) -> Decoder:
    torch.manual_seed(0)
    settings = GPT(layers=LAYERS, heads=3, width=width, dropout=dropout)
    network = settings.build([CONTEXT], vocabulary, vocabulary)
    assert isinstance(network, Decoder)
    return network


@pytest.fixture(scope="module")
def bottles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Splits]:
    folder = tmp_path_factory.mktemp("bottles")
    (folder / "t.txt").write_text(TEXT)
    summary = datasets.prepare(TextFile(**TEXT_FILE), folder / "data", folder)
    return summary, (datasets.read(folder / "data", "train", subset=64), datasets.read(folder / "data", "val"))


def runs(**changes: Any) -> list[params.Run]:
    changes = {f"tasks__imdb-gpt__{key}": value for key, value in (SMALL | {"train_subset": 64} | changes).items()}
    return load(task="imdb-gpt", scheduler="cosine", seeds=1, **changes).runs(1000)


def test_a_later_token_changes_no_earlier_output() -> None:
    network = gpt().eval()
    x = torch.randint(0, 50, (2, CONTEXT), generator=torch.Generator().manual_seed(0))
    output = network(x)
    for position in range(CONTEXT):
        changed = x.clone()
        changed[:, position:] = (changed[:, position:] + 1) % 50
        other = network(changed)
        assert torch.allclose(other[:, :position], output[:, :position], atol=1e-6)
        assert (other[:, position] - output[:, position]).abs().max() > 1e-3
        assert torch.allclose(network(x[:, : position + 1]), output[:, : position + 1], atol=1e-6)


def test_the_number_of_weights() -> None:
    """A block has two norms (4w), queries, keys and values (3w² + 3w), an output (w² + w) and an MLP (8w² + 5w)."""
    block = 12 * WIDTH**2 + 13 * WIDTH
    expected = (50 + CONTEXT) * WIDTH + LAYERS * block + 2 * WIDTH
    assert sum(weight.numel() for weight in gpt().parameters()) == expected


def test_the_output_layer_shares_the_embedding_of_tokens() -> None:
    """The state dict contains the shared matrix only once; the logits are products of it and the last hidden states."""
    network = gpt().eval()
    assert [name for name, weight in network.state_dict().items() if 50 in weight.shape] == ["tokens.weight"]
    x = torch.arange(CONTEXT)[None]
    seen: list[torch.Tensor] = []
    network.norm.register_forward_hook(lambda module, given, output: seen.append(output))
    assert torch.allclose(network(x), seen[0] @ network.tokens.weight.T, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [10, 1000])
def test_the_first_loss_is_that_of_guessing(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randint(0, vocabulary, (32, CONTEXT), generator=generator) for _ in range(2))
    logits = gpt(vocabulary).eval()(x)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    assert loss.item() == pytest.approx(math.log(vocabulary), abs=0.03)


def test_initial_weights_are_gpt2s() -> None:
    network = gpt(width=96)
    for name, weight in network.named_parameters():
        if weight.ndim == 2:
            is_added = name.endswith(("attention.output.weight", "mlp.2.weight"))
            deviation = 0.02 / math.sqrt(2 * LAYERS) if is_added else 0.02
            assert weight.std().item() == pytest.approx(deviation, rel=0.05), name
        elif "norm" not in name:
            assert not weight.any(), name


def test_muon_gets_the_matrices_of_the_blocks() -> None:
    from pipeline.optimizers._together import hidden_matrices

    assert len(hidden_matrices(gpt())) == 4 * LAYERS


def test_it_learns_and_has_no_accuracy(bottles: tuple[Summary, Splits]) -> None:
    summary, splits = bottles
    (run,) = runs(epochs=30, batch_size=16, lr=0.01, model=SMALL["model"] | {"dropout": 0.0})  # type: ignore[operator]
    epochs, _ = fitted(run, summary, splits)
    assert summary.language is not None
    assert epochs[-1].figures["val_loss"] < summary.language.unigram_entropy / 3
    assert epochs[-1].val_accuracy is None


def test_a_resumed_run_equals_one_that_never_stopped(bottles: tuple[Summary, Splits]) -> None:
    """The run uses dropout, and is stopped in the middle of an epoch."""
    summary, splits = bottles
    (run,) = runs(batch_size=16)
    epochs, weights = fitted(run, summary, splits)
    states: list[dict[str, Any]] = []
    first = Training(run, summary, CPU)
    for _ in train([first], *splits, lambda: states.append(deepcopy(first.state_dict()))):
        pass
    assert (states[6]["epoch"], states[6]["batch"]) == (2, 2)
    resumed = Training(run, summary, CPU)
    resumed.load_state_dict(states[6])
    again = [epoch for _, epoch in train([resumed], *splits)]
    assert again[-1] == epochs[-1]
    assert equal(weights, resumed.network.state_dict())

"""The transformer sees no later token, begins where GPT-2 begins, and trains as every other network does."""

import math
from typing import Any

import pytest
import torch

from pipeline import data, params
from pipeline.data import Summary
from pipeline.training import networks
from pipeline.training.gpt import GPT
from pipeline.training.loop import train
from pipeline.training.sampling import continued
from pipeline.training.stacks import thread_invariant
from pipeline.training.state import Training
from tests.conftest import load
from tests.data.test_tokens import SETTINGS, TEXT
from tests.training.fitting import CPU, Splits, equal, fitted

CONTEXT, WIDTH, LAYERS = 16, 12, 3
SMALL = {"model": {"name": "gpt", "layers": 2, "heads": 2, "width": 16, "dropout": 0.1}, "epochs": 2}


def gpt(vocabulary: int = 50, dropout: float = 0.0, width: int = WIDTH) -> GPT:
    torch.manual_seed(0)
    return GPT([CONTEXT], vocabulary, LAYERS, 3, width, dropout, vocabulary)


@pytest.fixture(scope="module")
def bottles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Splits]:
    folder = tmp_path_factory.mktemp("bottles")
    (folder / "t.txt").write_text(TEXT)
    summary = data.prepare(SETTINGS, folder / "data", folder)
    return summary, (data.read(folder / "data", "train", subset=64), data.read(folder / "data", "val"))


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
    """A block: two norms (4 w), queries, keys and values (3 w² + 3 w), output (w² + w), perceptron (8 w² + 5 w)."""
    block = 12 * WIDTH**2 + 13 * WIDTH
    expected = (50 + CONTEXT) * WIDTH + LAYERS * block + 2 * WIDTH
    assert sum(weight.numel() for weight in gpt().parameters()) == expected


def test_the_output_is_by_the_embedding_of_tokens() -> None:
    """One matrix at both ends: it is in the state once, and logits are its products with the last states."""
    network = gpt().eval()
    assert [name for name, weight in network.state_dict().items() if 50 in weight.shape] == ["tokens.weight"]
    x = torch.arange(CONTEXT)[None]
    seen: list[torch.Tensor] = []
    network.norm.register_forward_hook(lambda module, given, output: seen.append(output))
    assert torch.allclose(network(x), seen[0] @ network.tokens.weight.T, atol=1e-6)


@pytest.mark.parametrize("vocabulary", [10, 1000])
def test_the_first_loss_is_that_of_a_guess(vocabulary: int) -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randint(0, vocabulary, (32, CONTEXT), generator=generator) for _ in range(2))
    logits = gpt(vocabulary).eval()(x)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    assert loss.item() == pytest.approx(math.log(vocabulary), abs=0.03)


def test_weights_begin_as_in_gpt2() -> None:
    network = gpt(width=96)
    for name, weight in network.named_parameters():
        if weight.ndim == 2:
            is_added = name.endswith(("attention.output.weight", "mlp.2.weight"))
            deviation = 0.02 / math.sqrt(2 * LAYERS) if is_added else 0.02
            assert weight.std().item() == pytest.approx(deviation, rel=0.05), name
        elif "norm" not in name:
            assert not weight.any(), name


def test_muon_gets_the_matrices_of_the_blocks() -> None:
    from pipeline.settings.matrices import hidden_matrices

    assert len(hidden_matrices(gpt())) == 4 * LAYERS


def test_it_trains_with_one_thread(bottles: tuple[Summary, Splits]) -> None:
    (run,) = runs()
    network = networks.build(run, bottles[0])
    assert isinstance(network, GPT)
    assert not thread_invariant(network, 10_000)


def test_it_learns_and_has_no_accuracy(bottles: tuple[Summary, Splits]) -> None:
    summary, splits = bottles
    (run,) = runs(epochs=30, batch_size=16, lr=0.01, model=SMALL["model"] | {"dropout": 0.0})  # type: ignore[operator]
    epochs, _ = fitted(run, summary, splits)
    assert summary.language is not None
    assert epochs[-1].val_loss < summary.language.unigram_entropy / 3
    assert epochs[-1].val_accuracy is None


def test_a_resumed_run_equals_one_that_never_stopped(bottles: tuple[Summary, Splits]) -> None:
    """With dropout, in the middle of an epoch."""
    summary, splits = bottles
    (run,) = runs(batch_size=16)
    epochs, weights = fitted(run, summary, splits)
    states: list[dict[str, Any]] = []
    first = Training(run, summary, CPU)
    for _ in train([first], *splits, lambda: states.append(_copied(first.state_dict()))):
        pass
    assert (states[6]["epoch"], states[6]["batch"]) == (2, 2)
    resumed = Training(run, summary, CPU)
    resumed.load_state_dict(states[6])
    again = [epoch for _, epoch in train([resumed], *splits)]
    assert again[-1] == epochs[-1]
    assert equal(weights, resumed.network.state_dict())


def _copied(of: Any) -> Any:
    if isinstance(of, torch.Tensor):
        return of.clone()
    if isinstance(of, dict):
        return {key: _copied(each) for key, each in of.items()}
    return [*map(_copied, of)] if isinstance(of, list) else of


def test_samples_depend_on_the_seed_and_the_last_tokens_alone() -> None:
    network = gpt()
    with torch.no_grad():
        network.tokens.weight.mul_(100)  # or all tokens are as likely
    beginning = [*range(CONTEXT)]
    drawn = continued(network, beginning, CONTEXT, 30, 1.0, seed=1)
    assert len(drawn) == 30
    assert continued(network, [7, 7, 7, *beginning], CONTEXT, 30, 1.0, seed=1) == drawn
    assert continued(network, beginning, CONTEXT, 30, 1.0, seed=2) != drawn
    likeliest = continued(network, beginning, CONTEXT, 5, 0, seed=1)
    assert continued(network, beginning, CONTEXT, 5, 0, seed=2) == likeliest
    assert likeliest[0] == network.eval()(torch.tensor([beginning]))[0, -1].argmax()
    cold = continued(network, beginning, CONTEXT, 5, 1e-6, seed=3)
    assert cold == likeliest
    assert len(continued(network, [3], CONTEXT, 5, 1.0, seed=0)) == 5  # shorter than a window


def test_draws_have_the_models_probabilities() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([0.0, math.log(3), -math.inf]).expand(1, x.shape[1], 3)

    drawn = continued(Fixed(), [0], 2, 2000, 1.0, seed=0)
    assert drawn.count(1) / 2000 == pytest.approx(0.75, abs=0.03)
    assert 2 not in drawn
    warm = continued(Fixed(), [0], 2, 2000, 2.0, seed=0)
    assert warm.count(1) / 2000 == pytest.approx(math.sqrt(3) / (1 + math.sqrt(3)), abs=0.03)

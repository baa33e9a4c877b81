"""A run may start with weights from a file; what does not fit is either reported or refused in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipeline.errors import UserError
from pipeline.networks import TorchvisionModel
from pipeline.networks.weights import load_pretrained

State = dict[str, torch.Tensor]
NAME = "torchvision:shufflenet_v2_x0_5"


def network(seed: int, classes: int = 10, name: str = NAME) -> nn.Module:
    torch.manual_seed(seed)
    return TorchvisionModel(name=name).build((3, 32, 32), classes)


@pytest.fixture(scope="module")
def of_other(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    """A file with the weights of another network, and the same weights as tensors."""
    file = tmp_path_factory.mktemp("weights") / "other.pth"
    state = network(1).state_dict()
    torch.save(state, file)
    return file, state


def write(state: State, file: Path) -> Path:
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return file


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_all_weights_and_running_averages_are_loaded(ending: str, of_other: tuple[Path, State], tmp_path: Path) -> None:
    state = {name: each + 1 for name, each in of_other[1].items()}
    found = network(0)
    assert load_pretrained(write(state, tmp_path / f"weights.{ending}"), found) == []
    assert all(torch.equal(each, state[name]) for name, each in found.state_dict().items())


def test_a_head_for_other_classes_is_left_out_with_a_note(of_other: tuple[Path, State]) -> None:
    file, state = of_other
    found, untouched = network(0, classes=3), network(0, classes=3)
    (note,) = load_pretrained(file, found)
    assert note == f"{file}: its head fc is for 10 classes, not 3; it is left out and starts random"
    for name, each in found.state_dict().items():
        expected = untouched.state_dict() if name.startswith("fc.") else state
        assert torch.equal(each, expected[name]), name


def test_old_files_without_counters_and_with_auxiliary_classifiers_are_loaded(
    of_other: tuple[Path, State], tmp_path: Path
) -> None:
    state = {name: each for name, each in of_other[1].items() if not name.endswith("num_batches_tracked")}
    file = write(state | {"aux1.conv.weight": torch.zeros(2)}, tmp_path / "old.pth")
    assert load_pretrained(file, network(0)) == [f"{file}: auxiliary classifiers are left out"]


def test_mnasnet_gets_the_version_that_it_requires(tmp_path: Path) -> None:
    """MNASNet raises an error if the version is missing, and safetensors files never contain the version."""
    other = network(1, name="torchvision:mnasnet0_5").state_dict()
    found = network(0, name="torchvision:mnasnet0_5")
    load_pretrained(write(dict(other), tmp_path / "mnasnet.safetensors"), found)
    assert torch.equal(found.state_dict()["classifier.1.weight"], other["classifier.1.weight"])


def _changed(**changes: torch.Tensor | None) -> Callable[[State, Path], None]:
    def make(state: State, file: Path) -> None:
        given = {name.replace("__", "."): each for name, each in changes.items()}
        torch.save({name: each for name, each in (state | given).items() if each is not None}, file)

    return make


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda state, file: None, "no such file or folder; write it from the project's root, or as an absolute path"),
        (lambda state, file: file.write_bytes(b"no weights"), r"not a file of weights \(UnpicklingError: "),
        (lambda state, file: file.write_bytes(b""), r"not a file of weights \(EOFError: "),
        (lambda state, file: torch.save(nn.Linear(1, 1), file), r"not a file of weights \(UnpicklingError: Weights"),
        (lambda state, file: torch.save([1], file), "holds a list, not weights by name, as torch.save"),
        (
            lambda state, file: torch.save({"model": state, "epoch": 3}, file),
            "holds the keys model, epoch, not",
        ),
        (_changed(conv1__0__weight=torch.zeros(2, 3)), "conv1.0.weight is 2 x 3, and the model's 24 x 3 x 3 x 3$"),
        (_changed(conv1__0__weight=None, fc__bias=None), r"conv1.0.weight is missing \(and 1 more\)"),
        (_changed(conv9=torch.zeros(2)), "not weights of this model: the model has no conv9"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(
    make: Callable[[State, Path], None], says: str, of_other: tuple[Path, State], tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    make(of_other[1], file)
    with pytest.raises(UserError, match=says) as raised:
        load_pretrained(file, network(0))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"{file}: ")


def test_a_bad_file_of_safetensors_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"weights.safetensors: not a file of weights \(SafetensorError"):
        load_pretrained(tmp_path / "weights.safetensors", network(0))

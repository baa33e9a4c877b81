"""Weights of a file, put back into a network."""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


def restore(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights and buffers by name, all of them.

    What a network's `state_dict` returns also has the versions of its modules, which files do not keep. Some modules
    insist on them, such as torchvision's MNASNet, and others take weights without one for old ones.

    Raises:
        RuntimeError: they are those of another network.
    """
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(versioned)

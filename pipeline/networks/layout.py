"""The order of a picture's numbers in memory."""

import torch
from torch import Tensor


def channels_last(x: Tensor) -> Tensor:
    """Return pictures, (batch, channels, height, width), with the channels side by side, which pooling is faster in.

    Convolutions keep the format. What `torch.func` maps stays as it is: it has no such format.
    """
    return x if torch._C._functorch.is_batchedtensor(x) else x.contiguous(memory_format=torch.channels_last)

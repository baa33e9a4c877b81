"""Settings of this process that belong to the promise about bits; import it before torch multiplies anything."""

import os

import torch

# Without it MKL's sums depend on how many threads share them; it costs nothing.
os.environ["MKL_CBWR"] = "AUTO,STRICT"


def make_deterministic(seed: int) -> None:
    """Seed torch's global generators, and flush denormal numbers to zero in this thread.

    Gradients that vanish become denormal numbers, which a processor computes with at a tenth of its speed.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)

"""Settings of this process that belong to the promise about bits; import it before torch multiplies anything."""

import os

import torch

from pipeline.optimizers.base import Optimizer
from pipeline.training.stacks import thread_invariant

# Without it MKL's sums depend on how many threads share them; it costs nothing.
os.environ["MKL_CBWR"] = "AUTO,STRICT"


MOST_THREADS = 4
"""A run uses no more threads: a batch is so small that more would mostly wait for each other."""


def use_threads(
    wanted: int, network: torch.nn.Module, batch_size: int, optimizer: Optimizer, others_allow: bool = True
) -> None:
    """Let torch compute with so many threads from now on, but no more than pay, and one where they change bits.

    Args:
        wanted: how many.
        network: that is trained.
        batch_size: examples in a batch.
        optimizer: its settings.
        others_allow: False if another setting of the run changes bits with threads.
    """
    invariant = others_allow and optimizer.thread_invariant and thread_invariant(network, batch_size)
    torch.set_num_threads(min(wanted, MOST_THREADS) if invariant else 1)


def make_device_deterministic(kind: str) -> None:
    """Choose algorithms of a kind of device that give the same bits at each run; one thread of a CPU does so anyway."""
    if kind == "cuda":
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)  # not on a CPU: this imports for 1.4 s
        torch.backends.cudnn.allow_tf32 = False  # or convolutions would round to 10 bits, whatever `precision` says


def make_deterministic(seed: int) -> None:
    """Seed torch's global generators, and flush denormal numbers to zero in this thread.

    Gradients that vanish become denormal numbers, which a processor computes with at a tenth of its speed.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)

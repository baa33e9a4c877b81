"""Settings of this process that belong to the promise about bits; import it before torch multiplies anything."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.networks.modules import BidirectionalLSTM
from pipeline.training.sequential_stack import is_dense, is_small, layers_of

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload

# Without it the sums of MKL depend on the number of threads; it costs nothing.
os.environ["MKL_CBWR"] = "AUTO,STRICT"

MAX_THREADS = 4
"""Most threads of a run: its batches are so small that more threads would mostly wait for each other."""


def use_threads(cores: int, workload: "Workload", network: torch.nn.Module) -> None:
    """Set the number of torch's threads: one if several threads would change bits or not pay, else up to ``cores``."""
    invariant = workload.thread_invariant and workload.optimizer.thread_invariant
    invariant = invariant and is_thread_invariant(network, workload.batch_size)
    torch.set_num_threads(min(cores, MAX_THREADS) if invariant else 1)


def is_thread_invariant(network: torch.nn.Module, batch_size: int) -> bool:
    """Return True if several threads make a network faster and leave its bits as they are.

    MKL promises that of matrix products on Intel's processors only: on an AMD EPYC, the weights of an LSTM differ.
    Convolutions never are: each thread adds up the gradients of its own examples.
    """
    if not is_intel():
        return False
    layers = layers_of(network)
    is_large_mlp = bool(layers) and is_dense(layers) and not is_small(network, batch_size)
    return isinstance(network, BidirectionalLSTM) or is_large_mlp


@cache
def is_intel() -> bool:
    """Return True if this processor is one of Intel's, for which MKL promises bits."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def make_device_deterministic(kind: str) -> None:
    """Choose deterministic algorithms for a kind of device; on a CPU, one thread is deterministic without them."""
    if kind == "cuda":
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)  # not on a CPU: this imports for 1.4 s
        torch.backends.cudnn.allow_tf32 = False  # or convolutions would round to 10 bits, whatever `precision` says


def make_deterministic(seed: int) -> None:
    """Seed torch's global generators, and flush denormal numbers to zero in this thread.

    Vanishing gradients become denormal numbers, with which a processor computes ten times slower.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)

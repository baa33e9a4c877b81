"""Settings that make training in this process deterministic. Import this module before torch computes anything."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pipeline.networks.modules import BidirectionalLSTM
from pipeline.training.sequential_stack import is_dense, is_small, layers_of

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload

# Without this setting, sums in MKL depend on the number of threads. The setting does not slow MKL down.
os.environ["MKL_CBWR"] = "AUTO,STRICT"

MAX_THREADS = 4
"""The maximum number of threads per run; with small batches, more threads would mostly wait for each other."""


def use_threads(cores: int, workload: "Workload", network: torch.nn.Module) -> None:
    """Set torch's number of threads to at most ``cores``, or to 1 if more threads would change results or save no time.

    MKL guarantees only for Intel processors that matrix products do not depend on the number of threads. On an AMD
    EPYC, the trained weights of an LSTM do depend on the number of threads. The gradients of convolutions always depend
    on the number of threads, because each thread sums the gradients of its share of the examples.
    """
    layers = layers_of(network)
    is_large_mlp = bool(layers) and is_dense(layers) and not is_small(network, workload.batch_size)
    is_faster = is_large_mlp or isinstance(network, BidirectionalLSTM)
    is_invariant = is_intel() and workload.thread_invariant and workload.optimizer.thread_invariant
    torch.set_num_threads(min(cores, MAX_THREADS) if is_faster and is_invariant else 1)


@cache
def is_intel() -> bool:
    """Return True if this machine has an Intel processor."""
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def make_device_deterministic(kind: str) -> None:
    """Select deterministic algorithms for a kind of device; a CPU needs no such settings."""
    if kind == "cuda":
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without this setting, cuBLAS is not deterministic
        torch.use_deterministic_algorithms(True)  # only for GPUs, because the call takes 1.4 s
        torch.backends.cudnn.allow_tf32 = False  # TF32 keeps only 10 of the 23 mantissa bits of a convolution's inputs


def make_deterministic(seed: int) -> None:
    """Seed torch's global generators, and flush denormal numbers to zero in this thread.

    Vanishing gradients become denormal numbers, which make a processor about ten times slower.
    """
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)

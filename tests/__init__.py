"""Tests. Each worker of pytest uses one thread; with several threads each, tests would take ten times as long."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy or torch is imported

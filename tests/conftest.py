"""One thread per test process: small matrices gain nothing from more, and idle threads of BLAS and OpenMP spin."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

"""Keep BLAS and OpenMP to one thread: a process that forks may have no others. Imported before everything else."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

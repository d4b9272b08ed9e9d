"""One thread per test process: small matrices gain nothing from more, and idle threads of BLAS and OpenMP spin."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402


class OnDevice(torch.Tensor):
    """Stand for a tensor in the memory of an accelerator.

    It refuses to become an ndarray, or to be computed with other tensors, but by an explicit copy.
    """

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func in (torch.Tensor.numpy, torch.Tensor.__array__):
            raise TypeError("a tensor on a device is no ndarray; copy it to the host first.")
        with torch._C.DisableTorchFunctionSubclass():
            operands = [a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point() and a.ndim]
            if func is not torch.Tensor.to and any(not isinstance(a, OnDevice) for a in operands):
                raise RuntimeError(f"{func.__name__} got tensors on two devices.")
            if func is torch.Tensor.cpu:
                return args[0].as_subclass(torch.Tensor)
        return super().__torch_function__(func, types, args, kwargs)


def _to_accelerator(array):
    if not (hasattr(torch, "accelerator") and torch.accelerator.is_available()):
        pytest.skip("no accelerator")
    return torch.as_tensor(np.array(array), device=torch.accelerator.current_accelerator())


_LIBRARIES = {
    "tensor": torch.tensor,
    "stand-in": lambda array: torch.as_tensor(np.array(array)).as_subclass(OnDevice),
    "accelerator": _to_accelerator,
}


@pytest.fixture(params=_LIBRARIES)
def to_tensor(request):
    """Return a function from an array to a tensor: on the host, as if on a device, and on one where there is one."""
    return _LIBRARIES[request.param]


@pytest.fixture
def to_device():
    """Return a function from an array to a tensor that behaves as if it were on a device."""
    return _LIBRARIES["stand-in"]

"""Interrupts of training: those by which a callback ends it, and those of a person."""

from __future__ import annotations

import dis
from itertools import pairwise
from types import FrameType

from skorch.callbacks import Callback

__all__ = ["raised_by_callback"]


def raised_by_callback(interrupt: BaseException) -> bool:
    """Tell whether a callback raised a KeyboardInterrupt by a statement of its own, as skorch's EarlyStopping does.

    Any other one is a person's Ctrl-C, wherever it came: in the middle of an instruction, by a signal handler, or
    raised again by a callback that had caught it.

    Parameters
    ----------
    interrupt : BaseException
        A KeyboardInterrupt that was caught outside of all callbacks.
    """
    earlier = interrupt.__cause__ or interrupt.__context__
    if isinstance(earlier, KeyboardInterrupt) and not raised_by_callback(earlier):
        return False
    frames, place, traceback = [], -1, interrupt.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        place, traceback = traceback.tb_lasti, traceback.tb_next
    if not frames or dis.opname[frames[-1].f_code.co_code[place]] != "RAISE_VARARGS":
        return False
    if any(_handles_signal(frame, below) for below, frame in pairwise(frames)):
        return False
    of_callbacks = [frame for frame in frames if _is_of_callback(frame)]
    # A function beside the callback may raise it as well; a library that does so passes on what a person did.
    return bool(of_callbacks) and frames[-1].f_globals is of_callbacks[-1].f_globals


def _is_of_callback(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_argcount > 0 and isinstance(frame.f_locals.get(code.co_varnames[0]), Callback)


def _handles_signal(frame: FrameType, below: FrameType) -> bool:
    # Signal handlers get the frame that the signal interrupted.
    values = frame.f_locals.values()
    return any(below is value or (isinstance(value, tuple) and below in value) for value in values)

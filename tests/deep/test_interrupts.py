from __future__ import annotations

import asyncio
import functools
import signal
import sys
import threading

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping

from skada_active.deep import DANN, AdaptationClassifier
from skada_active.deep._seeding import run_seeded


def press():
    signal.raise_signal(signal.SIGINT)


def press_with(handler):
    old = signal.signal(signal.SIGINT, handler)
    try:
        press()
    finally:
        signal.signal(signal.SIGINT, old)


def stop(*args):
    raise KeyboardInterrupt


def two_arguments(signum, frame):
    stop()


class Handler:
    def __call__(self, signum, frame):
        raise KeyboardInterrupt


class AtWork(Callback):
    """Be a callback in which something happens after the second epoch."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            self.act()


class Pressed(AtWork):
    def act(self):
        press()


class PressedInAMethod(AtWork):
    def act(self):
        press_with(self.handle)

    def handle(self, signum, frame):
        raise KeyboardInterrupt


class PressedInAClosure(AtWork):
    def act(self):
        def handle(signum, frame):
            self.handled = True
            raise KeyboardInterrupt

        press_with(handle)


class Reraises(AtWork):
    def act(self):
        try:
            press()
        except KeyboardInterrupt as interrupt:
            raise interrupt


class RaisesAnew(AtWork):
    def act(self):
        try:
            press()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("saved") from None


class RunsTasks(AtWork):
    def act(self):
        async def work():
            press()
            await asyncio.sleep(1)

        asyncio.run(work())


def handled_by(handler):
    class PressedWith(AtWork):
        def act(self):
            press_with(handler)

    return PressedWith


PERSONS = {
    "default handler": Pressed,
    "function": handled_by(two_arguments),
    "any arguments": handled_by(stop),
    "object": handled_by(Handler()),
    "lambda": handled_by(lambda *args: stop()),
    "partial": handled_by(functools.partial(two_arguments)),
    "method of the callback": PressedInAMethod,
    "closure of the callback": PressedInAClosure,
    "raised again": Reraises,
    "raised anew": RaisesAnew,
    "tasks": RunsTasks,
}


class Stops(AtWork):
    def act(self):
        raise KeyboardInterrupt("enough")


class StopsAndCleansUp(AtWork):
    def act(self):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            self.cleaned = True
            raise


class StopsByAFunction(AtWork):
    def act(self):
        stop()


class StopsByItsParent(EarlyStopping):
    def __init__(self):
        super().__init__("train_loss", patience=2, threshold=10.0, sink=lambda text: None)

    def on_epoch_end(self, net, **kwargs):
        super().on_epoch_end(net, **kwargs)


def fit(data, *callbacks, max_epochs=5, **params):
    net_params = {"callbacks": list(callbacks)}
    model = AdaptationClassifier(DANN(), max_epochs=max_epochs, batch_size=8, random_state=0, net_params=net_params)
    return model.set_params(**params).fit(*data)


@pytest.mark.parametrize("callback", PERSONS.values(), ids=PERSONS)
def test_an_interrupt_by_a_person_comes_out_of_a_callback(make_data, callback):
    with pytest.raises(KeyboardInterrupt):
        fit(make_data(), callback())


@pytest.mark.parametrize("callback", [Stops, StopsAndCleansUp, StopsByAFunction, StopsByItsParent])
def test_a_callback_that_raises_an_interrupt_ends_training(make_data, callback):
    assert 2 <= len(fit(make_data(), callback()).net_.history) < 5


class Interrupter:
    """Raise a KeyboardInterrupt at one of the steps of Python in which torch switches gradients on or off."""

    def __init__(self, number):
        self.number, self.count = number, 0

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.endswith("grad_mode.py"):
            return None
        self.count += 1
        if self.count == self.number:
            raise KeyboardInterrupt
        return self

    def run(self, work):
        sys.settrace(self)
        try:
            work()
        finally:
            sys.settrace(None)
        return self.count


def is_free():
    """Return whether another thread may do seeded work."""
    done = []
    thread = threading.Thread(target=lambda: run_seeded(lambda: done.append(True), 0), daemon=True)
    thread.start()
    thread.join(5)
    return bool(done)


@pytest.mark.parametrize("mode", [True, False])
def test_torch_is_as_it_was_after_an_interrupt_wherever_gradients_are_switched(make_data, mode):
    X, y, domain = make_data()
    generator, n_struck = torch.get_rng_state(), 0

    def work():
        fit((X, y, domain), max_epochs=1).predict_proba(X)

    with torch.set_grad_enabled(mode):
        n_steps = Interrupter(0).run(work)
        for number in [*range(1, 12), *range(12, n_steps, n_steps // 12), *range(n_steps - 8, n_steps + 1)]:
            with pytest.raises(KeyboardInterrupt):
                Interrupter(number).run(work)
            assert torch.is_grad_enabled() is mode
            n_struck += 1
    assert n_struck > 20
    assert torch.equal(torch.get_rng_state(), generator)
    assert is_free()


def test_seeded_work_that_is_interrupted_restores_the_generator_at_once():
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt) as interrupt:
        run_seeded(lambda: (torch.rand(3), press()), 0)
    assert interrupt.value.__traceback__ is not None  # what holds all frames
    assert torch.equal(torch.get_rng_state(), before)
    assert is_free()


def test_a_session_goes_on_alike_after_interrupts_of_its_training(start, blobs, finish):
    X, y, _ = blobs
    data = {"estimator": AdaptationClassifier(max_epochs=1, batch_size=16, module=torch.nn.Linear(3, 4))}
    expected = finish(start(**data), y)
    interrupted = start(**data)
    while len(ids := interrupted.ask()):
        step = Interrupter(40)
        with pytest.raises(KeyboardInterrupt):
            step.run(lambda ids=ids: interrupted.tell(ids, y[ids]))
        assert torch.is_grad_enabled()
        assert len(interrupted.history_) == interrupted.history_[-1]["round"] == len(interrupted.state.closed)
    assert [entry["loss"] for entry in interrupted.history_] == [entry["loss"] for entry in expected.history_]
    np.testing.assert_array_equal(interrupted.estimator_.predict_proba(X), expected.estimator_.predict_proba(X))

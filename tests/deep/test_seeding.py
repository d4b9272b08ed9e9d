from __future__ import annotations

import threading

import pytest
import torch

from skada_active.deep._seeding import run_seeded


def draw(seed):
    return run_seeded(lambda: torch.rand(3), seed)


def draw_one_by_one():
    return torch.cat([torch.rand(1) for _ in range(200)])


def test_block_draws_the_same_for_the_same_seed():
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_block_leaves_the_global_generator_as_it_was():
    before = torch.get_rng_state()
    draw(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_in_the_block_still_restores_the_generator():
    before = torch.get_rng_state()
    with pytest.raises(ZeroDivisionError):
        run_seeded(lambda: torch.rand(1) / (1 // 0), 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_blocks_nest():
    drawn = run_seeded(lambda: torch.cat([torch.rand(1), draw(2)[:0], torch.rand(1)]), 1)
    assert torch.equal(drawn, draw(1)[:2])


def test_threads_take_turns():
    results = {}

    def work(seed):
        results[seed] = run_seeded(draw_one_by_one, seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(6):
        assert torch.equal(results[seed], run_seeded(draw_one_by_one, seed))


def test_cpu_block_seeds_no_other_device(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    draw(1)
    assert seeded == []

"""What processes use, on a made-up /proc and on the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from roadworthy.runtime.usage import CpuMeter, Use, use_of
from roadworthy.scaling.replicas import Sample

TICK, PAGE = 1 / os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def kept(proc: Path, pid: int, parent: int, *, cpu: tuple[int, int, int, int] = (0, 0, 0, 0), pages: int = 0) -> None:
    times = " ".join(map(str, cpu))
    (proc / str(pid)).mkdir()
    text = f"{pid} (odd) name (x) S {parent} 0 0 0 0 0 0 0 0 0 {times} 20 0 1 0 100 4096 {pages} 0 0\n"
    (proc / str(pid) / "stat").write_text(text, encoding="utf-8")


def test_a_process_is_counted_with_its_descendants_and_those_it_has_buried(tmp_path: Path) -> None:
    kept(tmp_path, 10, 1, cpu=(1, 2, 30, 40), pages=3)
    kept(tmp_path, 11, 10, cpu=(100, 0, 0, 0), pages=4)
    kept(tmp_path, 12, 11, pages=5)
    kept(tmp_path, 20, 1, cpu=(7, 0, 0, 0), pages=1)
    (tmp_path / "13").mkdir()  # one that ended while it was looked at
    (tmp_path / "self").mkdir()
    used = use_of([10, 20, 13, 99], tmp_path)
    assert used == {10: Use(pytest.approx(173 * TICK), 12 * PAGE), 20: Use(pytest.approx(7 * TICK), PAGE)}


def test_without_a_proc_nothing_is_known(tmp_path: Path) -> None:
    assert use_of([1], tmp_path / "none") is None
    assert use_of([1], tmp_path) is None, "it is not mounted"


def test_a_real_process_with_a_child_that_works() -> None:
    work = "data = bytearray(50_000_000)\nwhile True: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as parent:
        try:
            used = Use(0.0, 0)
            for _ in range(100_000):
                used = (use_of([parent.pid]) or {})[parent.pid]
                if used.cpu > 0.2 and used.memory > 50_000_000:
                    break
            assert used.cpu > 0.2
            assert used.memory > 50_000_000
        finally:
            os.killpg(parent.pid, 9)


def test_a_rate_needs_a_window() -> None:
    meter = CpuMeter(10)
    assert meter.update(100.0, {1: 5.0}) == {}
    assert meter.update(105.0, {1: 10.0, 2: 0.0}) == {}
    assert meter.update(110.0, {1: 15.0, 2: 1.0}) == {1: Sample(1000, at=110.0, window=10.0)}
    assert meter.update(116.0, {1: 15.0, 2: 1.0}) == {
        1: Sample(455, at=116.0, window=11.0),  # five seconds of eleven
        2: Sample(91, at=116.0, window=11.0),
    }
    assert meter.update(130.0, {2: 0.5}) == {2: Sample(0, at=130.0, window=14.0)}, "a total that fell says nothing"
    assert meter.update(131.0, {1: 99.0, 2: 0.5})[2].window == 15.0
    assert 1 not in meter.update(139.0, {1: 99.0}), "what was gone begins anew"

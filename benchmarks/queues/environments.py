"""The environments of the peers: they ask for versions of their dependencies that exclude each other's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_FILES = Path(__file__).parent / "environments"
_ROOT = Path(__file__).parent.parent.parent / ".venv" / "benchmarks"
_NEAREST_FIRST = ("3.12", "3.13", "3.14")
_NEED = {"oban": (3, 12)}


class NotAvailable(Exception):
    """An environment that cannot be made here, and why."""


def python_of(name: str) -> str:
    """Return the Python of environment `name`, made when it is not there or its constraints have changed.

    "" is the environment of the benchmark itself. Raises NotAvailable when this machine has no Python new enough.
    """
    if not name:
        return sys.executable
    constraints = _FILES / f"{name}.txt"
    directory = _ROOT / name
    stamp = directory / "constraints"
    wanted = hashlib.sha256(constraints.read_bytes()).hexdigest()
    python = directory / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        interpreter = _interpreter(name)
        print(f"making the environment of {name}", file=sys.stderr, flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([interpreter, "-m", "venv", str(directory)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "--requirement", str(constraints), "--constraint", str(constraints)], check=True)
        stamp.write_text(wanted)
    return str(python)


def versions(name: str) -> dict[str, str]:
    """Return the versions that the environment of `name` pins for what its `.in` file asks for."""
    if not name:
        return {}
    asked = {
        line.partition("[")[0].strip().lower() for line in (_FILES / f"{name}.in").read_text().splitlines() if line
    }
    pinned = [line.partition("==") for line in (_FILES / f"{name}.txt").read_text().splitlines() if "==" in line]
    return {package: rest.split()[0] for package, _, rest in pinned if package in asked}


def _interpreter(name: str) -> str:
    least = _NEED.get(name, (3, 11))
    if sys.version_info >= least:
        return sys.executable
    found = [shutil.which(f"python{version}") for version in _NEAREST_FIRST]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for version in _NEAREST_FIRST for path in pyenv.glob(f"{version}*/bin/python")]
    for candidate in filter(None, found):
        if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    raise NotAvailable(f"since it needs Python {least[0]}.{least[1]} or newer, which is not on the PATH or in pyenv")

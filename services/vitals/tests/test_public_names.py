"""Vitals stands on what Roadworthy calls public, as any other service would have to."""

from __future__ import annotations

import ast
from pathlib import Path

import vitals

PUBLIC = {"roadworthy", "roadworthy.http.problems", "roadworthy.security.webhook"}


def test_the_service_imports_public_modules_alone() -> None:
    package = Path(vitals.__file__).parent
    others = {
        f"{path.relative_to(package)}: {module}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for module in _modules(node)
        if module.split(".")[0] == "roadworthy" and module not in PUBLIC
    }

    assert others == set()


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []

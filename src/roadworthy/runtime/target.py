"""Find what a command is to run: the service that its argument names, and the ASGI application that goes with it.

A target is `package.module:attribute` or `path/to/file.py:attribute`, the attribute being `service` unless it is said.
Without a target, `ROADWORTHY_SERVICE` names it, or `service` under `[tool.roadworthy]` in `pyproject.toml`.
"""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from roadworthy.errors import RoadworthyError, TargetError
from roadworthy.service import ASGIApp, Service

_DEFAULT_ATTRIBUTE = "service"
_APP_MODULES = ("api", "app", "web", "main")
_EXAMPLE = "roadworthy run package.module:service"


@dataclass(frozen=True, slots=True)
class Target:
    """A service, the module that declares it, and the text by which another process finds it again."""

    text: str
    service: Service
    module: ModuleType


def default(environ: Mapping[str, str], directory: Path) -> str:
    """Return the target to use where the command line names none.

    Raises:
        TargetError: neither the environment nor `directory`'s pyproject.toml names one.
    """
    if text := environ.get("ROADWORTHY_SERVICE"):
        return text
    if isinstance(text := _table(directory / "pyproject.toml").get("service"), str):
        return text
    raise TargetError(
        f"no service was named. Write for example `{_EXAMPLE}`, or set ROADWORTHY_SERVICE, "
        'or put `service = "package.module:service"` under [tool.roadworthy] in pyproject.toml'
    )


def _table(project: Path) -> dict[str, Any]:
    """Return `[tool.roadworthy]` of a pyproject.toml, empty where there is none."""
    try:
        tool = tomllib.loads(project.read_text(encoding="utf-8")).get("tool")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TargetError(f"{project} cannot be read ({error.strerror}); name the service instead") from error
    except ValueError as error:
        raise TargetError(f"{project} is no valid TOML ({error}); correct it, or name the service") from error
    table = tool.get("roadworthy") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else {}


def resolve(text: str, directory: Path | None = None) -> Target:
    """Import the target and return its service; `directory` (the current one) joins the import path.

    Raises:
        TargetError: the module cannot be imported or holds no such service; the message says what is there.
        RoadworthyError: what the module itself raised of Roadworthy's, such as a DeclarationError.
    """
    place, _, attribute = text.partition(":")
    is_path = place.endswith(".py") or "/" in place
    if not is_path and not all(place.split(".")):
        raise TargetError(f"target {text!r} names no module. Write it as in `{_EXAMPLE}`")
    directory = Path.cwd() if directory is None else directory
    if is_path:
        module = _import_file(directory / place, text)
    else:
        _search_in(directory)
        module = _import(place, text)
    return Target(text, _service_of(module, attribute, text), module)


def application(target: Target) -> ASGIApp | None:
    """Return the ASGI application of the target's service, None where it has none.

    It is the one that the declaration names with `app=`; else the one that `service.install` has wrapped, after looking
    for it in the modules `api`, `app`, `web` and `main` beside the declaration.
    """
    service = target.service
    if service.app is not None:
        return _named_application(service, service.app)
    for name in _APP_MODULES:
        if service.installed_app is not None:
            break
        if sibling := _sibling(target.module, name):
            _import(sibling, target.text)
    return service.installed_app


def _named_application(service: Service, name: str) -> ASGIApp:
    module_name, _, attribute = name.partition(":")
    module = _import(module_name, f"{service.name!r} with app={name!r}")
    app: ASGIApp | None = getattr(module, attribute, None)
    if app is None:
        raise TargetError(
            f"service {service.name!r} has app={name!r}, but {module_name} has no {attribute!r}; correct it"
        )
    return service.installed_app or service.install(app)


def _sibling(module: ModuleType, name: str) -> str | None:
    """Return the import name of the module `name` in the same directory as `module`, None if there is none."""
    if module.__file__ is None:
        return None
    directory = Path(module.__file__).parent
    if not (directory / f"{name}.py").is_file() and not (directory / name / "__init__.py").is_file():
        return None
    package = module.__spec__.parent if module.__spec__ else ""
    return f"{package}.{name}" if package else name


def _import_file(path: Path, text: str) -> ModuleType:
    path = path.resolve()
    if not os.path.isfile(path):  # noqa: PTH113 (a path too long for the system raises there)
        raise TargetError(f"there is no file {path}; `{text}` needs the path of a Python file, from {Path.cwd()}")
    names = [path.stem]
    root = path.parent
    while (root / "__init__.py").is_file():
        names.insert(0, root.name)
        root = root.parent
    _search_in(root)
    module = _import(".".join(names), text)
    if module.__file__ is None or Path(module.__file__).resolve() != path:
        raise TargetError(
            f"{path} cannot be imported as {module.__name__!r}: {module.__file__} has that name; rename the file"
        )
    return module


def _search_in(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _import(name: str, text: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except RoadworthyError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise TargetError(
                f"there is no module {error.name!r}, which `{text}` names. It was looked for in {Path.cwd()} and the "
                "installed packages: change to the project's directory, install the project, or correct the name"
            ) from error
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _broken(name: str, error: BaseException) -> TargetError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if len(frames) > 1 else ""
    return TargetError(f"importing {name!r} raised {type(error).__name__}{where}: {error}")


def _service_of(module: ModuleType, attribute: str, text: str) -> Service:
    services = {name: value for name, value in vars(module).items() if isinstance(value, Service)}
    if not attribute and _DEFAULT_ATTRIBUTE not in services and len(services) == 1:
        return next(iter(services.values()))
    wanted = attribute or _DEFAULT_ATTRIBUTE
    if wanted in services:
        return services[wanted]
    found: Any = getattr(module, wanted, None)
    place = text.partition(":")[0]
    problem = (
        f"module {module.__name__!r} has no attribute {wanted!r}"
        if found is None
        else f"{module.__name__}:{wanted} is a {type(found).__name__}, not a Service"
    )
    if services:
        raise TargetError(f"{problem}; write {' or '.join(f'{place}:{name}' for name in services)}")
    if isinstance(found, ModuleType):
        raise TargetError(f"{problem}; write {found.__name__}:{_DEFAULT_ATTRIBUTE}")
    raise TargetError(
        f"{problem}, and it declares no Service; add `{wanted} = Service(...)` or name the module that does"
    )

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from roadworthy.errors import DeclarationError, TargetError
from roadworthy.http.stack import Stack
from roadworthy.runtime.target import application, default, resolve

DECLARATION = "from roadworthy import Service\nservice = Service('shop')\n"
APP = "async def app(scope, receive, send): ...\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory to import from, whose modules are forgotten afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(project: Path, path: str, text: str) -> Path:
    file = project / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.mark.parametrize("target", ["shop_one:service", "shop_one", "shop_one.py:service", "./shop_one.py"])
def test_a_module_or_a_file_names_the_service(project: Path, target: str) -> None:
    write(project, "shop_one.py", DECLARATION)
    assert resolve(target).service.name == "shop"


def test_a_file_in_a_package_is_imported_under_its_full_name(project: Path) -> None:
    write(project, "src/shop_two/__init__.py", "")
    write(project, "src/shop_two/service.py", DECLARATION)
    assert resolve("src/shop_two/service.py:service").module.__name__ == "shop_two.service"


def test_a_single_service_of_another_name_is_found(project: Path) -> None:
    write(project, "shop_three.py", "from roadworthy import Service\nshop = Service('shop')\n")
    assert resolve("shop_three").service.name == "shop"


@pytest.mark.parametrize(
    ("target", "text", "message"),
    [
        ("nowhere:service", "", "there is no module 'nowhere', which `nowhere:service` names"),
        (":service", "", "names no module"),
        ("absent.py:service", "", "there is no file"),
        ("..", "", "names no module"),
        (f"{'a' * 5000}.py", "", "there is no file"),
        ("shop_bad", "import sys\nsys.exit(3)\n", "importing 'shop_bad' raised SystemExit"),
        ("shop_bad:shop", DECLARATION, "has no attribute 'shop'; write shop_bad:service"),
        ("shop_bad:x", DECLARATION + "x = 3\n", "shop_bad:x is a int, not a Service; write shop_bad:service"),
        ("shop_bad", "x = 3\n", "it declares no Service; add `service = Service"),
        ("shop_bad", "import nonesuch\n", r"importing 'shop_bad' raised ModuleNotFoundError at .*shop_bad.py:1"),
        ("shop_bad", "1 / 0\n", r"importing 'shop_bad' raised ZeroDivisionError at .*shop_bad.py:1: division"),
        ("shop_bad", "def f(:\n", "importing 'shop_bad' raised SyntaxError"),
        ("shop_bad", "import json as service\n", "is a module, not a Service; write json:service|write json:service"),
    ],
)
def test_what_cannot_be_resolved_is_explained(project: Path, target: str, text: str, message: str) -> None:
    write(project, "shop_bad.py", text)
    with pytest.raises(TargetError, match=message):
        resolve(target)


def test_a_file_whose_name_is_taken_is_told(project: Path) -> None:
    write(project, "json.py", DECLARATION)
    with pytest.raises(TargetError, match="cannot be imported as 'json'"):
        resolve("json.py:service")


def test_an_error_of_the_declaration_itself_passes(project: Path) -> None:
    write(project, "shop_four.py", "from roadworthy import Service\nservice = Service('Shop')\n")
    with pytest.raises(DeclarationError, match="must match"):
        resolve("shop_four")


def test_the_environment_names_the_default_before_the_project(project: Path) -> None:
    write(project, "pyproject.toml", "[tool.roadworthy]\nservice = 'shop.service'\n")
    assert default({"ROADWORTHY_SERVICE": "other:service"}, project) == "other:service"
    assert default({}, project) == "shop.service"


@pytest.mark.parametrize("text", [None, "", "[tool.roadworthy]\nservice = 3\n"])
def test_without_a_default_the_ways_to_name_one_are_told(project: Path, text: str | None) -> None:
    if text is not None:
        write(project, "pyproject.toml", text)
    with pytest.raises(TargetError, match="set ROADWORTHY_SERVICE"):
        default({}, project)


def test_a_broken_project_file_is_told(project: Path) -> None:
    write(project, "pyproject.toml", "[tool\n")
    with pytest.raises(TargetError, match="is no valid TOML"):
        default({}, project)


def test_a_service_without_an_application_has_none(project: Path) -> None:
    write(project, "shop_five.py", DECLARATION)
    assert application(resolve("shop_five")) is None


def test_the_application_is_found_in_a_sibling_module(project: Path) -> None:
    write(project, "shop_six/__init__.py", "")
    write(project, "shop_six/service.py", DECLARATION)
    write(project, "shop_six/app.py", "x = 1\n")
    write(project, "shop_six/web.py", f"from shop_six.service import service\n{APP}app = service.install(app)\n")
    write(project, "shop_six/main.py", "raise RuntimeError('not needed')\n")
    assert isinstance(application(resolve("shop_six.service")), Stack)


def test_a_sibling_of_a_module_without_a_package_is_found(project: Path) -> None:
    write(project, "shop_seven.py", DECLARATION)
    write(project, "api.py", f"from shop_seven import service\n{APP}app = service.install(app)\n")
    assert isinstance(application(resolve("shop_seven.py")), Stack)


def test_a_named_application_is_installed_if_it_was_not(project: Path) -> None:
    declaration = "from roadworthy import Service\nservice = Service('shop', app='shop_eight_app:app')\n"
    write(project, "shop_eight.py", declaration)
    write(project, "shop_eight_app.py", APP)
    target = resolve("shop_eight")
    found = application(target)
    assert isinstance(found, Stack)
    assert application(target) is found


def test_a_named_application_that_is_not_there_is_told(project: Path) -> None:
    declaration = "from roadworthy import Service\nservice = Service('shop', app='shop_nine:app')\n"
    write(project, "shop_nine.py", declaration)
    with pytest.raises(TargetError, match="shop_nine has no 'app'"):
        application(resolve("shop_nine"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"tool = 5\n", "no service was named"),
        (b"[tool]\nroadworthy = 5\n", "no service was named"),
        (b"[tool.roadworthy]\nservice = 5\n", "no service was named"),
        (b"[tool\n", "is no valid TOML"),
        (b"\xff", "is no valid TOML"),
    ],
)
def test_a_project_file_of_any_kind_is_no_accident(project: Path, text: bytes, message: str) -> None:
    (project / "pyproject.toml").write_bytes(text)
    with pytest.raises(TargetError, match=message):
        default({}, project)

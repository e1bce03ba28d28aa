from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from roadworthy import DeclarationError
from roadworthy.check.refusal import REFUSED, refused


def refusal(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DeclarationError:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "shop.py"
    module.write_text(f"from roadworthy import Service; {source}")
    with pytest.raises(DeclarationError) as caught:
        runpy.run_path(str(module))
    return caught.value


def test_two_handles_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal('s = Service("s")\ns.queue("mail")\n\ns.queue("mail")\n', tmp_path, monkeypatch)
    finding = refused(error)
    assert (finding.rule, finding.weight, finding.place) == (REFUSED, "error", "shop.py:4")
    assert finding.message == "queue 'mail' is already declared at shop.py:2"
    assert finding.fix == "rename one of them"


def test_a_value_that_breaks_its_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finding = refused(refusal('s = Service("s")\ns.queue("mail", attempts=0)\n', tmp_path, monkeypatch))
    assert finding.place == "shop.py:2"
    assert finding.message == "queue 'mail' has attempts=0"
    assert finding.fix.startswith("it must be")


def test_a_message_without_advice_and_an_error_without_a_place() -> None:
    finding = refused(DeclarationError("odd"))
    assert (finding.place, finding.message) == ("unknown place", "odd")
    assert "change the value" in finding.fix


def test_a_place_elsewhere_is_shown_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal('s = Service("S")\n', tmp_path, monkeypatch)
    monkeypatch.chdir("/")
    assert refused(error).place == f"{str(tmp_path).lstrip('/')}/shop.py:1"
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    assert refused(error).place == f"{tmp_path}/shop.py:1"

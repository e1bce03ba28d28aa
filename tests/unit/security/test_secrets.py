"""Secrets: refused where they could be guessed, followed when they change, and told by nobody but their value."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from roadworthy import Secret, Service, testing
from roadworthy.duration import minutes
from roadworthy.errors import DeclarationError, NotRunning, SettingError
from roadworthy.security.secrets import SecretSpec, load, weakness
from roadworthy.telemetry.masking import mask

FIRST = "8c1f0a96d2b74e35b0c4f7a1926e38d5"
SECOND = "e27b90c4a8d1463f9a5c0b7e18f2d634"


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def following(file: Path, clock: Clock, **spec: object) -> Iterator[Secret]:
    secret = Secret(SecretSpec("SHOP_KEY", **spec))  # type: ignore[arg-type]
    with secret.opened({"SHOP_KEY_FILE": str(file)}, clock):
        yield secret


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("short", "5 bytes, and 32"),
        ("a" * 64, "repeats"),
        ("abcabc" * 10, "repeats"),
        ("0f1e2d3c4b5a6978" * 2, "repeats"),
        ("please-changeme-before-production!!", "'changeme'"),
        ("MyPassword" + FIRST, "'password'"),
        ("your-secret-key-goes-here-and-more-of-it", "'your-'"),
        ("0123456789" + FIRST, "'1234567'"),
        ("defghijklmnopqrstuvwxyz{|}~ !#$%&'()*+,-./", "in order"),
        ("akzakzzkkaazkazkazzkakzakazkkzaz", "few different"),
    ],
)
def test_what_could_be_guessed(text: str, why: str) -> None:
    assert why in (weakness(text, 32) or "")


@pytest.mark.parametrize("text", [FIRST, SECOND, "tZ4-uV_x0p9QeR8sLmN2kJ7hGfD5aS3w", "0f1e2d3c4b5a6978" + FIRST])
def test_what_could_not(text: str) -> None:
    assert weakness(text, 32) is None


def test_a_refusal_names_the_variable_the_rule_and_the_fix_and_not_the_secret() -> None:
    weak = "hunter2hunter2"
    with pytest.raises(
        SettingError, match=r"SHOP_KEY holds a secret that is too weak: .* 32 are needed; .*openssl"
    ) as no:
        load(SecretSpec("SHOP_KEY"), {"SHOP_KEY": weak})
    assert weak not in str(no.value)
    with pytest.raises(SettingError, match="SHOP_KEY, which the shop signs with, is not set; set it, or SHOP_KEY_FILE"):
        load(SecretSpec("SHOP_KEY", purpose="which the shop signs with"), {"SHOP_KEY": " "})


def test_from_the_environment_or_a_file_and_not_from_both(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECOND}\n")
    spec = SecretSpec("SHOP_KEY")
    assert load(spec, {"SHOP_KEY": FIRST}).values == (FIRST,)
    assert load(spec, {"SHOP_KEY_FILE": str(file)}).values == (SECOND,)
    with pytest.raises(SettingError, match="both set"):
        load(spec, {"SHOP_KEY": FIRST, "SHOP_KEY_FILE": str(file)})
    assert load(SecretSpec("SHOP_KEY", required=False), {}).values == ()


def test_several_by_commas_each_of_them_strong() -> None:
    spec = SecretSpec("SHOP_KEY", several=True)
    assert load(spec, {"SHOP_KEY": f"{FIRST} , {SECOND},"}).values == (FIRST, SECOND)
    with pytest.raises(SettingError, match="too weak"):
        load(spec, {"SHOP_KEY": f"{FIRST},short"})


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe" * 20, "no text"),
        (b"ab" * 40_000, "longer than 64 kB"),
        (b"\n", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingError, match=why):
        load(SecretSpec("SHOP_KEY", required=True), {"SHOP_KEY_FILE": str(file)})


def test_a_directory_or_a_device_is_no_file(tmp_path: Path) -> None:
    for path in (str(tmp_path), "/dev/null"):
        with pytest.raises(SettingError, match=r"no file|cannot be read"):
            load(SecretSpec("SHOP_KEY"), {"SHOP_KEY_FILE": path})


def test_a_file_is_followed_and_the_one_before_counts_for_the_overlap(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    with following(file, clock, overlap=minutes(5)) as secret:
        assert secret.values == (FIRST,)
        file.write_text(SECOND + "\n")
        clock.now += 2
        assert secret.value == SECOND
        assert secret.matches(FIRST)
        assert secret.matches(SECOND)
        clock.now += 301
        assert secret.values == (SECOND,)
        assert not secret.matches(FIRST)


def test_without_an_overlap_the_one_before_is_gone_at_once(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    with following(file, clock) as secret:
        file.write_text(SECOND + "\n")
        clock.now += 2
        assert secret.values == (SECOND,)


def test_one_that_comes_back_is_no_longer_retired(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    with following(file, clock, overlap=minutes(5)) as secret:
        for text in (SECOND + "\n", FIRST + "\n\n"):
            file.write_text(text)
            clock.now += 2
            values = secret.values
        assert values == (FIRST, SECOND)


@pytest.mark.parametrize("content", ["weak", "", None])
def test_a_replacement_that_cannot_be_used_leaves_the_old_one(tmp_path: Path, content: str | None) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    with following(file, clock) as secret:
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        clock.now += 2
        assert secret.values == (FIRST,)
        file.write_text(SECOND)
        clock.now += 2
        assert secret.values == (SECOND,)


def test_it_is_looked_at_once_a_second_at_most(tmp_path: Path) -> None:
    file, clock = tmp_path / "key", Clock()
    file.write_text(FIRST)
    with following(file, clock) as secret:
        file.write_text(SECOND)
        clock.now += 0.5
        assert secret.values == (FIRST,)


def test_it_is_masked_wherever_it_is_shown() -> None:
    secret = Secret(SecretSpec("SHOP_KEY"))
    with secret.opened({"SHOP_KEY": FIRST}):
        shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>10}"]
        shown += [json.dumps({"key": secret}, default=str), msgspec.json.encode([secret], enc_hook=repr).decode()]
        shown += [str(mask("plain", {"inner": [secret]}))]
        assert not [text for text in shown if FIRST in text]
        assert [text for text in shown if "***" not in text] == []
        with pytest.raises(TypeError):
            json.dumps(secret)
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(secret)


def test_outside_a_running_service_it_has_no_value() -> None:
    with pytest.raises(NotRunning, match="SHOP_KEY"):
        _ = Secret(SecretSpec("SHOP_KEY")).value


def test_an_optional_one_that_is_not_set() -> None:
    secret = Secret(SecretSpec("SHOP_KEY", required=False))
    with secret.opened({}):
        assert not secret.is_set
        assert not secret.matches("")
        with pytest.raises(SettingError, match="SHOP_KEY is not set"):
            _ = secret.value


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        ("shop_key", {}, "no name of a variable"),
        ("SHOP_FILE", {}, "no name of a variable"),
        ("SHOP_KEY", {"min_bytes": 8}, "fewer than 16"),
        ("SHOP_KEY", {"overlap": timedelta(-1)}, "0 or more"),
    ],
)
def test_a_declaration_that_makes_no_sense(name: str, values: dict[str, object], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Service("shop").secret(name, **values)  # type: ignore[arg-type]


async def test_a_service_does_not_start_with_a_weak_one(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service("shop")
    secret = service.secret("SHOP_KEY")
    monkeypatch.setenv("SHOP_KEY", "weak")
    with pytest.raises(SettingError, match="SHOP_KEY holds a secret that is too weak"):
        async with testing.running(service):
            pass
    monkeypatch.setenv("SHOP_KEY", FIRST)
    async with testing.running(service):
        assert secret.value == FIRST
    assert service.spec.secrets[0].name == "SHOP_KEY"

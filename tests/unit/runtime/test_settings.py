"""Settings: typed, ruled, and each with its source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from roadworthy.errors import SettingError
from roadworthy.runtime.settings import VARIABLES, Settings


def test_the_defaults_need_no_environment() -> None:
    settings = Settings.load({})
    assert settings.database_url is None
    assert settings.redis_url is None
    assert settings.data_directory == Path(".roadworthy")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.operations_host, settings.operations_port) == ("127.0.0.1", 9100)
    assert (settings.log_level, settings.log_format) == ("info", "auto")
    assert settings.drain == timedelta(seconds=20)
    assert settings.service is None
    assert settings.warnings == ()
    assert {entry.source for entry in settings.entries} == {"default"}
    assert [entry.name for entry in settings.entries] == [variable.name for variable in VARIABLES.values()]


def test_the_environment_wins_and_is_named_as_the_source(tmp_path: Path) -> None:
    settings = Settings.load(
        {
            "DATABASE_URL": "postgresql://me:secret@db/app",
            "REDIS_URL": "redis://:secret@cache",
            "ROADWORTHY_DATA_DIR": str(tmp_path),
            "ROADWORTHY_PORT": "0",
            "ROADWORTHY_OPERATIONS_PORT": "0",
            "ROADWORTHY_HOST": "::1",
            "ROADWORTHY_LOG_LEVEL": "DEBUG",
            "ROADWORTHY_LOG_FORMAT": "json",
            "ROADWORTHY_DRAIN_SECONDS": "1.5",
            "ROADWORTHY_SERVICE": "a.b:c",
            "UNRELATED": "x",
        }
    )
    assert settings.database_url == "postgresql://me:secret@db/app"
    assert settings.data_directory == tmp_path
    assert (settings.host, settings.port, settings.operations_port) == ("::1", 0, 0)
    assert (settings.log_level, settings.drain) == ("debug", timedelta(seconds=1.5))
    shown = {entry.name: entry for entry in settings.entries}
    assert shown["DATABASE_URL"].value == "postgresql://me:***@db/app"
    assert shown["REDIS_URL"].value == "redis://:***@cache"
    assert shown["DATABASE_URL"].secret
    assert shown["ROADWORTHY_PORT"].source == "environment"
    assert shown["ROADWORTHY_OPERATIONS_HOST"].source == "default"


def test_an_empty_value_counts_as_none() -> None:
    settings = Settings.load({"DATABASE_URL": "", "ROADWORTHY_PORT": " "})
    assert settings.database_url is None
    assert settings.port == 8000


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("DATABASE_URL", "mysql://me@host/name", "is no postgresql URL"),
        ("DATABASE_URL", "postgresql://me@host:port/name", "is no postgresql URL"),
        ("REDIS_URL", "localhost", "is no redis URL"),
        ("ROADWORTHY_PORT", "65536", "from 0"),
        ("ROADWORTHY_PORT", "-1", "from 0"),
        ("ROADWORTHY_PORT", "http", "from 0"),
        ("ROADWORTHY_HOST", "http://x/", "is no host"),
        ("ROADWORTHY_DATA_DIR", __file__, "is no directory"),
        ("ROADWORTHY_DATA_DIR", "/tmp/caf\udcc3\udca9", "set LC_ALL=C.UTF-8"),
        ("ROADWORTHY_LOG_LEVEL", "loud", "one of debug, info"),
        ("ROADWORTHY_LOG_FORMAT", "xml", "one of auto, console, json"),
        ("ROADWORTHY_DRAIN_SECONDS", "soon", "from 0 to 3600"),
        ("ROADWORTHY_DRAIN_SECONDS", "inf", "from 0 to 3600"),
        ("ROADWORTHY_DRAIN_SECONDS", "nan", "from 0 to 3600"),
        ("ROADWORTHY_DRAIN_SECONDS", "-1", "from 0 to 3600"),
    ],
)
def test_a_value_that_breaks_its_rule_is_named(name: str, value: str, rule: str) -> None:
    with pytest.raises(SettingError) as caught:
        Settings.load({name: value})
    assert str(caught.value).startswith(f"{name}={value!r} ")
    assert rule in str(caught.value)


def test_a_refused_url_keeps_its_password_to_itself() -> None:
    with pytest.raises(SettingError) as caught:
        Settings.load({"DATABASE_URL": "mysql://me:secret@host/name"})
    assert "secret" not in str(caught.value)


def test_two_listeners_need_two_ports() -> None:
    with pytest.raises(SettingError, match="a number of its own"):
        Settings.load({"ROADWORTHY_PORT": "9100"})


def test_an_unknown_variable_is_a_warning_with_the_closest_match() -> None:
    settings = Settings.load({"ROADWORTHY_PROT": "1", "ROADWORTHY_ZZZ": "1"})
    assert settings.warnings == (
        "ROADWORTHY_PROT is no setting and does nothing; did you mean ROADWORTHY_PORT?",
        "ROADWORTHY_ZZZ is no setting and does nothing",
    )


@pytest.mark.parametrize("text", ["~nobody-of-that-name/data", "/" + "a" * 5000])
def test_a_data_directory_that_cannot_even_be_looked_at_is_named(text: str) -> None:
    with pytest.raises(SettingError, match=r"ROADWORTHY_DATA_DIR=.* cannot be used"):
        Settings.load({"ROADWORTHY_DATA_DIR": text})


@pytest.mark.parametrize("text", ["postgresql://h:port/x", "postgresql://[::1/x", "mysql://h/x", "h"])
def test_a_database_url_that_is_none_is_told_how_to_be_one(text: str) -> None:
    with pytest.raises(SettingError, match="is no postgresql URL; write it as postgresql://"):
        Settings.load({"DATABASE_URL": text})

from __future__ import annotations

import socket

import pytest

from roadworthy import seconds
from roadworthy.errors import SettingError
from roadworthy.runtime.listener import address, drain_delay, listen


def test_port_0_gets_a_free_port_that_the_address_shows() -> None:
    with listen("127.0.0.1", 0, "ROADWORTHY_PORT") as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert address(listener) == f"http://127.0.0.1:{port}"
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass


def test_a_socket_on_every_address_is_shown_under_loopback() -> None:
    with listen("0.0.0.0", 0, "ROADWORTHY_PORT") as listener:  # noqa: S104
        assert address(listener).startswith("http://127.0.0.1:")


def test_an_ipv6_address_is_bracketed() -> None:
    with listen("::1", 0, "ROADWORTHY_PORT") as listener:
        assert address(listener).startswith("http://[::1]:")


def test_a_port_in_use_names_the_variable() -> None:
    with listen("127.0.0.1", 0, "ROADWORTHY_PORT") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"port {port} on 127.0.0.1 is in use.*set SHOP_PORT to another port"):
            listen("127.0.0.1", port, "SHOP_PORT", patience=seconds(0.1))


def test_an_address_that_is_not_ours_names_the_variable_of_the_host() -> None:
    with pytest.raises(SettingError, match=r"cannot listen on 203.0.113.1 port 0 .*set SHOP_HOST"):
        listen("203.0.113.1", 0, "SHOP_PORT")


def test_only_an_address_that_others_reach_is_drained_slowly() -> None:
    assert drain_delay("127.0.0.1", seconds(20)) < seconds(1)
    assert drain_delay("0.0.0.0", seconds(20)) == seconds(5)  # noqa: S104
    assert drain_delay("0.0.0.0", seconds(4)) == seconds(1)  # noqa: S104

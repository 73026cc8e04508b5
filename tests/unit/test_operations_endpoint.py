"""The client's endpoint for what an operator wrote for the server."""

from __future__ import annotations

import pytest

from uacproxy.manage.endpoint import client_description


@pytest.mark.parametrize(
    ("written", "client"),
    [
        ("unix:uacproxy.sock", "unix:path=uacproxy.sock"),
        ("unix:/run/uacproxy.sock:mode=600", "unix:path=/run/uacproxy.sock"),
        ("unix:address=/run/u.sock:mode=660", "unix:path=/run/u.sock"),
        ("unix:path=/run/u.sock", "unix:path=/run/u.sock"),
        (r"unix:/run/a\:b.sock", r"unix:path=/run/a\:b.sock"),
        ("tcp:8061", "tcp:host=127.0.0.1:port=8061"),
        ("tcp:8061:interface=127.0.0.2", "tcp:host=127.0.0.2:port=8061"),
        ("tcp:port=8061:interface=0.0.0.0", "tcp:host=127.0.0.1:port=8061"),
        (r"tcp6:8061:interface=\:\:1", r"tcp:host=\:\:1:port=8061"),
        ("tcp:pbx.example:8061", "tcp:pbx.example:8061"),
        ("tcp:host=pbx.example:port=8061", "tcp:host=pbx.example:port=8061"),
    ],
)
def test_the_servers_endpoint_is_good_for_uacctl_too(written: str, client: str) -> None:
    assert client_description(written) == client


@pytest.mark.parametrize("written", ["", "uacproxy.sock", "unix:", "unix:mode=600", "tcp:x"])
def test_what_is_no_endpoint_is_said_to_be_none(written: str) -> None:
    with pytest.raises(ValueError):
        client_description(written)

"""Who may ask: host, origin, token."""

import pytest

from device.ui.phone_panel.guard import Guard, Refused

TOKEN = "A" * 22
GUARD = Guard(TOKEN, ["box", "box.local", "localhost"])
HERE = "192.168.1.7"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.168.1.7:8077", HERE),
        ("192.168.1.7", HERE),
        ("192.168.1.7:8077", "::ffff:192.168.1.7"),
        ("box.local:8077", HERE),
        ("BOX.local.", HERE),
        ("localhost:80", "127.0.0.1"),
        ("[fe80::1]:8077", "fe80::1%wlan0"),
        ("[fe80:0::1]", "fe80::1"),
    ],
)
def test_a_name_or_the_address_of_the_connection_is_this_machine(host, address):
    GUARD.check_place({"host": host}, address)


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:8077", "box.local.evil.example", "192.168.1.8"),
        *("192.168.1.7.evil.example", "[::1]", "0.0.0.0", "192.168.1.7:x", "box.local:80:80"),
        *("192.168.1.7@evil.example", "\xff", "box local"),
    ],
)
def test_another_host_is_refused_as_a_rebound_name_would_be(host):
    with pytest.raises(Refused, match="another host") as refused:
        GUARD.check_place({"host": host}, HERE)
    assert refused.value.status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://box.local"},
        {"origin": "http://box.local:8078"},
        {"origin": "ftp://box.local:8077"},
        {"origin": "http://box.local:8077, http://evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_another_origin_is_refused(headers):
    with pytest.raises(Refused, match="another origin") as refused:
        GUARD.check_place({"host": "box.local:8077", **headers}, HERE)
    assert refused.value.status == 403


@pytest.mark.parametrize("origin", ["http://box.local:8077", "https://box.local:8077"])
def test_its_own_origin_is_not(origin):
    headers = {"host": "box.local:8077", "origin": origin, "sec-fetch-site": "same-origin"}
    GUARD.check_place(headers, HERE)


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN} "])
def test_the_token_opens(given):
    GUARD.check_token({"authorization": given})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": f"Bearer {TOKEN[:-1]}B"},
        {"authorization": f"Bearer {TOKEN}A"},
        {"authorization": "Bearer é€"},
        {"cookie": f"token={TOKEN}"},
    ],
)
def test_nothing_else_does(headers):
    with pytest.raises(Refused, match="no valid token") as refused:
        GUARD.check_token(headers)
    assert refused.value.status == 401

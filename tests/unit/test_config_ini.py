"""Reading an ini file: values, and every error at its line."""

from __future__ import annotations

from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uacproxy.config.ini import ConfigErrors, read_config
from uacproxy.config.schema import Config
from uacproxy.settings import Address, ListenAddress

PIECES = [
    b"\n", b"  ", b"\t", b" = ", b";", b"#", b"[", b"]", b"[sip]\n", b"[uac]\n", b"[rule:a]\n",
    b"listen", b"udp:", b"[::", b"credential", b"a:b:c", b"t1", b"1e9", b"relay = $", b"\"",
]  # fmt: skip


def read(tmp_path: Path, text: str | bytes) -> Config:
    file = tmp_path / "u.ini"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config(str(file))


def errors_of(tmp_path: Path, text: str | bytes) -> list[str]:
    """Return what an operator reads, the directory taken away."""
    with pytest.raises(ConfigErrors) as caught:
        read(tmp_path, text)
    return [str(error).replace(f"{tmp_path}/", "") for error in caught.value.errors]


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert config == Config(file=config.file)


def test_values_of_every_kind_are_read(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[sip]\nlisten = udp:[::1]:5080\n  tcp:127.0.0.2\nt1 = 250ms\nrecord_route = off\n"
        "domains = Example.COM pbx.example\nadvertise = 203.0.113.7:5070\n"
        "[uac]\nrestore_mode = Manual\nreg_timer_interval = 2min\nreg_keep_callid = 0\n"
        "[dns]\nservers = 192.0.2.1 [2001:db8::1]:5353\n",
    )
    assert config.sip.listen == (
        ListenAddress(b"UDP", "::1", 5080),
        ListenAddress(b"TCP", "127.0.0.2", 5060),
    )
    assert (config.sip.t1, config.sip.record_route) == (0.25, False)
    assert config.sip.domains == ("example.com", "pbx.example")
    assert config.sip.advertise == Address("203.0.113.7", 5070)
    assert (config.uac.restore_mode, config.uac.reg_timer_interval) == ("manual", 120)
    assert config.uac.reg_keep_callid is False
    assert config.dns.servers == (Address("192.0.2.1", 53), Address("2001:db8::1", 5353))


def test_all_errors_are_told_at_once_each_with_its_line_section_and_key(tmp_path: Path) -> None:
    text = """\
[sip]
listen = udp:127.0.0.1:5060
    tls:127.0.0.1:5061
t1 = fast
max_forwards = 700
record_rout = yes
[uacc]
[store]
flush_interval = 5 parsecs
url = postgres://x
[uac]
restore_mode = sometimes
reg_active = maybe
listen = udp:127.0.0.1:5060
"""
    assert errors_of(tmp_path, text) == [
        "u.ini:3: [sip] listen: tls: is not available in this version; use udp: or tcp:",
        "u.ini:4: [sip] t1: 'fast' is no number",
        "u.ini:5: [sip] max_forwards: '700' is out of range: 1 to 255",
        "u.ini:6: [sip] record_rout: unknown key; did you mean record_route?",
        "u.ini:7: [uacc]: unknown section; did you mean uac?",
        "u.ini:9: [store] flush_interval: unknown unit 'parsecs'; one of ms, s, min, h, d may "
        "stand here",
        "u.ini:10: [store] url: begins with none of memory:, sqlite:///FILE, redis://HOST:PORT/DB",
        "u.ini:12: [uac] restore_mode: 'sometimes' is none of none, manual, auto",
        "u.ini:13: [uac] reg_active: 'maybe' is neither yes nor no",
        "u.ini:14: [uac] listen: unknown key here; it belongs into [sip]",
    ]


def test_a_second_section_or_key_of_one_name_is_an_error_that_names_the_first(
    tmp_path: Path,
) -> None:
    text = "[sip]\nt1 = 1\nT1 = 2\n[log]\n[SIP]\nt2 = 1\nt1 = x\n[rule:a]\n[rule:a]\n"
    assert errors_of(tmp_path, text) == [
        "u.ini:3: [sip] t1: the key is there already, on line 2",
        "u.ini:5: [sip]: the section is there already, on line 1",
        "u.ini:7: [sip] t1: the key is there already, on line 2",
        "u.ini:9: [rule:a]: the section is there already, on line 8",
    ]


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"none\.ini: No such file"):
        read_config(str(tmp_path / "none.ini"))


def test_lines_that_cannot_be_read_are_told_and_the_others_are_still_checked(
    tmp_path: Path,
) -> None:
    text = b"t1 = 1\n[sip]\n# caf\xe9\ndomains = caf\xe9\nhello\n  t2 = 1\nt4 = a\x07b\nt2 = x\n"
    assert errors_of(tmp_path, text) == [
        "u.ini:1: t1 stands before the first [section]",
        "u.ini:3: octet 6 of the line is not UTF-8",
        "u.ini:4: octet 14 of the line is not UTF-8",
        "u.ini:5: neither [section] nor key = value nor a comment",
        "u.ini:7: a control character in the line",
        "u.ini:8: [sip] t2: 'x' is no number",
    ]


def test_comments_and_folding_leave_the_value_alone(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        b"\xef\xbb\xbf; first\r\n[uac] # section\r\n  reg_contact_addr = h.example;line=1 ; why\r\n"
        b"reg_db_table =uacreg2\t; tab\r\nrestore_passwd = a%b#c\r\ncredential = ; below\r\n"
        b"    # one\r\n    a:b:c;d\r\n\r\n    e:f:g:h   ; two\r\nauth_realm_avp =;\r\n",
    )
    assert config.uac.reg_contact_addr == "h.example;line=1"
    assert config.uac.reg_db_table == "uacreg2"
    assert config.uac.restore_passwd == "a%b#c"
    assert [tuple(one) for one in config.uac.credential] == [("a", "b", "c;d"), ("e", "f", "g:h")]
    assert config.uac.auth_realm_avp == ""


def test_credentials_may_stand_under_one_key_or_repeat_it(tmp_path: Path) -> None:
    text = "[uac]\ncredential = a : r1 : p\ncredential =\n  b:r2:p\n  c:r2:p\n"
    assert [one.user for one in read(tmp_path, text).uac.credential] == ["a", "b", "c"]


def test_a_bad_credential_is_told_at_its_own_line_without_its_text(tmp_path: Path) -> None:
    text = "[uac]\ncredential =\n  a:r:p\n  bob:hunter2\n  bob:r:hunter2 hunter2\nbob:r:hunter2\n"
    assert errors_of(tmp_path, text) == [
        "u.ini:4: [uac] credential: not of the form user:realm:password, one a line (not shown "
        "here)",
        "u.ini:5: [uac] credential: not of the form user:realm:password, one a line (not shown "
        "here)",
        "u.ini:6: neither [section] nor key = value nor a comment",
    ]


def test_no_password_shows_in_the_repr_of_a_configuration(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[uac]\ncredential = bob:r:hunter2\nrestore_passwd = hunter2\n"
        "reg_db_url = postgresql://u:hunter2@db/x\n[store]\nurl = redis://:hunter2@h:6379/0\n"
        "[registrar]\nsubscriber_db_url = mysql://u:hunter2@db/x\n",
    )
    shown = f"{config!r} {config.uac.credential!r} {config.uac.credential[0]}"
    assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("udp:localhost:5060", "'localhost' is no IP address"),
        ("udp:127.0.0.1:x", "'x' is no port"),
        ("udp:127.0.0.1:70000", "'70000' is no port"),
        ("udp:::1", r"IPv6 addresses go in brackets: \[::1\]"),
        ("udp:[::1", "no ']'"),
        ("udp:[127.0.0.1]:1", "no IPv6 address"),
        ("sctp:127.0.0.1:1", "is not udp:HOST:PORT or tcp:HOST:PORT"),
        ("ws:127.0.0.1:80", "ws: is not available in this version; use udp: or tcp:"),
    ],
)
def test_a_listen_word_that_cannot_be_listened_on_is_refused(
    tmp_path: Path, value: str, why: str
) -> None:
    with pytest.raises(ConfigErrors, match=why):
        read(tmp_path, f"[sip]\nlisten = {value}\n")


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("uac", "reg_contact_addr = sip:h.example"),
        ("uac", "reg_contact_addr = user@h.example"),
        ("uac", "restore_from_avp = $var(x)"),
        ("uac", "auth_realm_avp = arealm"),
        ("uac", "rr_from_store_param = a=b"),
        ("uac", "reg_db_table = uacreg; DROP TABLE x"),
        ("uac", "default_socket = 127.0.0.1:5060"),
        ("uac", "reg_hash_size = 15"),
        ("uac", "reg_timer_interval = 0"),
        ("uac", "reg_timer_interval = 1500ms"),
        ("registrar", "subscriber_db_url = oracle://x"),
        ("registrar", "subscriber_table = a b"),
        ("limits", "max_fields = 20 octets"),
        ("limits", "max_message ="),
        ("store", "url ="),
        ("store", "url = sqlite:///"),
        ("store", "url = redis://h:x"),
        ("store", "flush_interval = 101"),
        ("log", "level = loud"),
        ("management", "amp = nowhere:1"),
        ("management", "amp = tcp"),
        ("management", "amp = tcp:port"),
        ("management", "amp = unix:a:mode=rw"),
        ("management", "manhole = ssl:2222:privateKey=none.pem"),
        ("management", "http = tcp:8060"),
        ("dns", "servers = ns.example"),
        ("sip", "domains = example.com:5060"),
    ],
)
def test_a_value_out_of_its_form_is_an_error_at_its_key(
    tmp_path: Path, section: str, line: str
) -> None:
    key = line.split(" ", 1)[0]
    [error] = errors_of(tmp_path, f"[{section}]\n{line}\n")
    assert error.startswith(f"u.ini:2: [{section}] {key}: ")


def test_a_contact_address_with_a_user_is_told_where_the_user_comes_from(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "[uac]\nreg_contact_addr = bob@h.example\n") == [
        "u.ini:2: [uac] reg_contact_addr: no user here: write HOST[:PORT][;parameters]; the user "
        "is the l_uuid"
    ]


def test_a_key_indented_by_mistake_is_told_at_its_own_line(tmp_path: Path) -> None:
    assert errors_of(tmp_path, "[sip]\nt1 = 1\n  t2 = 2\n") == [
        "u.ini:3: [sip] t1: one value belongs here; this line, being indented, would continue it"
    ]


def test_what_is_read_stands_beside_the_ini_file_and_what_is_made_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "u.ini").write_text(
        "[routing]\nscript = route.py\n[store]\nurl = sqlite:///s.db\n"
        "[management]\namp = unix:u.sock:mode=600\nmanhole_keys = keys\n[log]\nfile = u.log\n"
    )
    monkeypatch.chdir(tmp_path)
    raw = read_config("etc/u.ini")
    resolved = raw.resolved()
    assert raw.routing.script == "route.py"
    assert resolved.routing.script == f"{tmp_path}/etc/route.py"
    assert resolved.management.manhole_keys == f"{tmp_path}/etc/keys"
    assert resolved.management.manhole_host_key == f"{tmp_path}/uacproxy-manhole.key"
    assert resolved.store.url == f"sqlite:///{tmp_path}/s.db"
    assert resolved.management.amp == f"unix:{tmp_path}/u.sock:mode=600"
    assert resolved.log.file == f"{tmp_path}/u.log"


def test_what_is_absolute_or_no_file_stays_as_it_is(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        "[routing]\nscript = /opt/route.py\n[store]\nurl = redis://h:6379/0\n"
        "[uac]\nreg_db_url = sqlite:////var/a.db\n[log]\nfile =\n"
        "[registrar]\nsubscriber_db_url = postgresql://h/s.db\n"
        "[management]\namp = tcp:8061:interface=127.0.0.1\nmanhole = unix:/run/m.sock\n"
        "manhole_host_key = /etc/key\n",
    )
    assert config.resolved() == config


def test_an_endpoint_in_a_directory_with_a_colon_stays_one_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "a:b=c"
    directory.mkdir()
    monkeypatch.chdir(directory)
    colon = str(directory).replace(":", r"\:").replace("=", r"\=")
    assert Config().resolved().management.amp == f"unix:{colon}/uacproxy.sock:mode=600"


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=24).map(b"".join))
def test_whatever_octets_the_file_holds_the_outcome_is_settings_or_errors_with_a_line(
    octets: bytes,
) -> None:
    with NamedTemporaryFile() as file:
        file.write(octets)
        file.flush()
        try:
            read_config(file.name)
        except ConfigErrors as found:
            last = octets.count(b"\n") + 1
            for error in found.errors:
                assert 1 <= int(error.where.rpartition(":")[2]) <= last


def test_nobody_tells_of_changed_accounts_unless_a_channel_is_named(tmp_path: Path) -> None:
    assert read(tmp_path, "[uac]\n").uac.reg_notify is None
    config = read(
        tmp_path,
        "[uac]\nreg_db_url = postgresql://db/x\nreg_contact_addr = h\n"
        "reg_notify = postgresql:uacreg_changed\n",
    )
    assert str(config.uac.reg_notify) == "postgresql:uacreg_changed"
    assert errors_of(tmp_path, "[uac]\nreg_notify = redis:a'b\n") == [
        "u.ini:2: [uac] reg_notify: 'redis:a'b' is neither postgresql:CHANNEL nor redis:CHANNEL"
    ]

from __future__ import annotations

from pathlib import Path

import pytest

from ci_envs.conda.addresses import (
    Parts,
    clean,
    expanded,
    file_url,
    folder,
    hidden,
    inside,
    is_path,
    login,
    outside,
    rest,
    secrets,
    without_login,
)
from ci_envs.errors import LockError, UsageError

HOME, ROOT = Path("/home/me"), Path("/data/my project")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host.example/chan/", "https://host.example/chan"),
        ("HTTPS://Host.Example:443/Chan", "https://host.example/Chan"),
        ("http://host.example:8080/chan", "http://host.example:8080/chan"),
        ("https://me:pw@host.example/chan", "https://host.example/chan"),
        ("https://me:p@w@host.example/chan", "https://host.example/chan"),
        ("https://host.example/t/tk-1/chan", "https://host.example/chan"),
        ("https://me:pw@host.example/conda/t/tk-1/chan/noarch/x-1-0.conda", "https://host.example/conda/chan/noarch/x-1-0.conda"),
        ("https://host.example/t/tk-1", "https://host.example"),
        ("https://host.example/test/chan", "https://host.example/test/chan"),
        ("file:///chan/x", "file:///chan/x"),
        ("s3://bucket/chan/", "s3://bucket/chan"),
        ("./chan/", "./chan"),
    ],
)  # fmt: skip
def test_an_address_is_cleaned_of_credentials(url: str, expected: str) -> None:
    assert clean(url) == expected


def test_an_address_is_taken_apart() -> None:
    parts = Parts.of("https://Host.example/t/$TOKEN/chan/", {"TOKEN": "tk-1"})

    assert parts.canonical == "https://host.example/chan"
    assert parts.template == "https://host.example/t/${TOKEN}/chan"
    assert parts.full == "https://Host.example/t/tk-1/chan"
    assert parts.variables == ("TOKEN",)
    assert "tk-1" not in repr(parts)


def test_a_literal_credential_is_in_no_template() -> None:
    assert Parts.of("https://me:pw@h.example/t/tk/$NAME", {"NAME": "chan"}).template == "https://h.example/${NAME}"
    assert Parts.of("https://me:$PW@h.example/chan", {"PW": "x"}).template == "https://me:${PW}@h.example/chan"
    assert Parts.of("https://h.example/t/tk/chan", {}).template == "https://h.example/chan"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://h.example/chan?token=secret", "one ends with the channel's name"),
        ("https://h.example/chan#x", "one ends with the channel's name"),
        ("https://h.example/my chan", "one ends with the channel's name"),
        ("https:///chan", "it names no host"),
        ("https://h.example:port/chan", "is no address of a channel"),
        ("https://h.example/t/$TOKEN/chan", "names the variable TOKEN, which is not set"),
    ],
)
def test_what_is_no_address_is_refused(url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Parts.of(url, {})


def test_a_refused_address_tells_no_credential() -> None:
    with pytest.raises(UsageError) as caught:
        Parts.of("https://me:geheim-1@h.example/t/geheim-2/my chan", {})
    assert "geheim" not in caught.value.message


def test_variables_are_expanded_once() -> None:
    assert expanded("https://$A/${B}", {"A": "$B", "B": "b"}) == ("https://$B/b", ("A", "B"))
    assert expanded("https://h.example/chan", {}) == ("https://h.example/chan", ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("./a", True), ("../a", True), ("/a", True), ("~/a", True), ("C:\\a", True), ("c:/a", True), (".", True),
     ("conda-forge", False), ("pkgs/main", False), (".hidden", False), ("https://a", False)],
)  # fmt: skip
def test_a_folder_is_told_from_a_name(text: str, expected: object) -> None:
    assert is_path(text) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("./chan", "file:///data/my%20project/chan"),
        ("../chan/", "file:///data/chan"),
        ("/srv/./chan", "file:///srv/chan"),
        ("~/chan", "file:///home/me/chan"),
        ("C:\\My Channels\\chan", "file:///C:/My%20Channels/chan"),
    ],
)
def test_a_folder_has_an_address(path: str, expected: str) -> None:
    assert file_url(path, home=HOME, root=ROOT) == expected


def test_the_address_of_a_folder_leads_back_to_it() -> None:
    assert folder("file:///data/my%20project/chan") == ROOT / "chan"
    assert folder("file:///C:/My%20Channels") == Path("C:/My Channels")


def test_a_folder_of_the_project_is_told_relative_to_it_and_found_again() -> None:
    url = "file:///data/my%20project/a%2Bb/noarch/x-1-0.conda"

    assert inside(url, ROOT) == "./a%2Bb/noarch/x-1-0.conda"
    assert outside("./a%2Bb/noarch/x-1-0.conda", ROOT) == url
    assert inside("file:///data/my%20project", ROOT) == "./."
    assert outside("./.", ROOT) == "file:///data/my%20project"


@pytest.mark.parametrize("url", ["file:///data/my%20projects/x", "file:///srv/x", "https://h.example/x"])
def test_what_lies_outside_keeps_its_address(url: str) -> None:
    assert inside(url, ROOT) == url
    assert inside(url, None) == url
    assert outside(url, ROOT) == url


def test_a_lock_leads_to_nothing_outside_of_the_project() -> None:
    with pytest.raises(LockError, match="leads out of the project"):
        outside("./../../etc/x-1-0.conda", ROOT)


def test_a_base_is_whole_words() -> None:
    assert rest("https://h/a/b", "https://h/a") == "/b"
    assert rest("https://h/a", "https://h/a") == ""
    assert rest("https://h/ab", "https://h/a") is None


def test_the_secrets_of_an_address_are_known() -> None:
    assert set(secrets("https://me:p%40w@h.example/t/tk-1/chan")) == {"p%40w", "p@w", "tk-1"}
    assert set(secrets("https://token@h.example/chan")) == {"token"}
    assert set(secrets("https://h.example/chan")) == set()
    assert login("https://me:p%40w@h.example/chan") == ("me", "p@w")
    assert login("https://h.example/chan") == ("", "")
    assert without_login("https://me:pw@h.example/t/tk-1/chan") == "https://h.example/t/tk-1/chan"


def test_credentials_are_hidden_in_any_text() -> None:
    text = "for url (https://me:pw@h.example/t/tk-1/chan/noarch/repodata.json)"

    assert hidden(text) == "for url (https://***@h.example/t/***/chan/noarch/repodata.json)"

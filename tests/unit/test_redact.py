from __future__ import annotations

import pytest

from ci_envs.redact import MASK, Redactor, is_secret_name, without_credentials


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://user:canary@index.example/simple", "https://***@index.example/simple"),
        ("https://canarytoken@index.example/simple", "https://***@index.example/simple"),
        ("https://user:can@ary@index.example/simple", "https://***@index.example/simple"),
        (
            "--index-url 'https://u:p@a.example/' https://v:q@b.example",
            "--index-url 'https://***@a.example/' https://***@b.example",
        ),
        ("git+https://u:p@git.example/r@v1.0", "git+https://***@git.example/r@v1.0"),
        ("https://index.example/pkg@1.0/", "https://index.example/pkg@1.0/"),
        ("name @ https://files.example/name-1.0.whl", "name @ https://files.example/name-1.0.whl"),
        ("mail me@example.org", "mail me@example.org"),
        ("", ""),
    ],
)
def test_what_stands_before_a_host_is_masked_and_nothing_else(text: str, masked: str) -> None:
    assert Redactor()(text) == masked


@pytest.mark.parametrize(
    "name",
    ["PIP_PASSWORD", "NPM_TOKEN", "client_secret", "UV_INDEX_CORP_PASSWORD", "API_KEY", "APIKEY", "AZURE_CREDENTIALS"],
)
def test_the_values_of_variables_named_like_secrets_are_masked(name: str) -> None:
    assert Redactor.from_environment({name: "canary-7391"})("it said canary-7391.") == f"it said {MASK}."


def test_other_variables_are_left_alone() -> None:
    assert (
        Redactor.from_environment({"HOME": "/home/somebody", "LANG": "C.UTF-8"})("/home/somebody") == "/home/somebody"
    )


def test_a_password_inside_an_address_is_masked_wherever_it_shows_up_again() -> None:
    redact = Redactor.from_environment({"PIP_INDEX_URL": "https://me:hunter2secret@index.example/simple"})

    assert redact("login hunter2secret refused") == f"login {MASK} refused"


def test_each_of_several_addresses_is_read() -> None:
    redact = Redactor.from_environment(
        {"UV_INDEX": "https://a:first-secret@x.example https://b:second-secret@y.example"}
    )

    assert redact("first-secret second-secret") == f"{MASK} {MASK}"


def test_an_encoded_password_is_masked_in_both_forms() -> None:
    redact = Redactor.from_environment({"PIP_INDEX_URL": "https://me:p%40ssw%2Frd@index.example/"})

    assert redact("p%40ssw%2Frd and p@ssw/rd") == f"{MASK} and {MASK}"


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    assert Redactor(["canary", "canary-longer"])("canary-longer") == MASK


def test_short_values_are_no_secrets_since_they_would_mask_half_of_every_log() -> None:
    assert Redactor.from_environment({"MY_TOKEN": "1", "OTHER_TOKEN": ""})("1 passed, 1 failed") == "1 passed, 1 failed"


def test_secrets_are_masked_as_text_not_as_patterns() -> None:
    assert Redactor(["a.b*c+d"])("a.b*c+d aXbbbccd") == f"{MASK} aXbbbccd"


@pytest.mark.parametrize("value", ["http://[broken", "://", "https://", "https://[::1"])
def test_an_address_that_is_none_is_no_error(value: str) -> None:
    assert Redactor.from_environment({"X": value})("text") == "text"


@pytest.mark.parametrize(
    ("url", "bare"),
    [
        ("https://u:p@index.example:8443/simple?x=1#sha256=ab", "https://index.example:8443/simple?x=1#sha256=ab"),
        ("https://token@index.example/simple", "https://index.example/simple"),
        ("ssh://git@git.example/r.git", "ssh://git@git.example/r.git"),
        ("git+ssh://git@git.example/r.git@main", "git+ssh://git@git.example/r.git@main"),
        ("ssh://git:secret@git.example/r.git", "ssh://git.example/r.git"),
        ("https://index.example/a@b", "https://index.example/a@b"),
        ("file:///somewhere/wheels", "file:///somewhere/wheels"),
    ],
)
def test_credentials_leave_an_address_and_the_rest_stays(url: str, bare: str) -> None:
    assert without_credentials(url) == bare


def test_secrets_are_known_by_how_their_variables_end() -> None:
    assert all(map(is_secret_name, ("API_TOKEN", "db_password", "APIKEY", "AWS_CREDENTIALS")))
    assert not any(map(is_secret_name, ("TOKENIZERS_PARALLELISM", "PASSWORD_FILE", "PATH")))

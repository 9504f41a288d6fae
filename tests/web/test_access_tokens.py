"""Access tokens by themselves: what is signed is what is read, and nothing else is."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from jobkit_web.access import Action, BadToken, Claims, Signer

NOW = 1_795_000_000.0
RUN = "0-01JABCDEFGHJKMNPQRSTVWXYZ0"
SIGNER = Signer(b"secret", "shop")


def token(**changes: object) -> str:
    options = {"now": NOW, "ttl": 60.0, "interest": "ticket:1", **changes}
    return SIGNER.sign(RUN, ["read", "cancel"], **options)  # type: ignore[arg-type]


def test_token_reads_as_it_was_signed() -> None:
    assert SIGNER.read(token(), now=NOW + 59) == Claims(
        audience="shop",
        run=RUN,
        actions=(Action.READ, Action.CANCEL),
        expires=NOW + 60,
        ttl=60.0,
        interest="ticket:1",
    )


def test_token_is_over_at_its_end() -> None:
    with pytest.raises(BadToken):
        SIGNER.read(token(), now=NOW + 60)


def test_token_is_url_safe_and_short() -> None:
    assert set(token()) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert len(token()) < 300


def test_every_changed_character_is_noticed() -> None:
    good = token()
    for place in range(len(good)):
        other = "A" if good[place] != "A" else "B"
        with pytest.raises(BadToken):
            SIGNER.read(good[:place] + other + good[place + 1 :], now=NOW)


def test_claims_cannot_be_exchanged() -> None:
    prefix, key, payload, signature = token().split(".")
    claims = urlsafe_b64decode(payload + "==").replace(b"read", b"list")
    forged = ".".join([prefix, key, urlsafe_b64encode(claims).decode().rstrip("="), signature])
    with pytest.raises(BadToken):
        SIGNER.read(forged, now=NOW)


@pytest.mark.parametrize("garbage", ["", ".", "...", "jk1.", "jk1.a.b.c", "\ud800", "é" * 50, "x" * 100_000])
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(BadToken):
        SIGNER.read(garbage, now=NOW)


def test_token_of_another_kit_is_refused() -> None:
    with pytest.raises(BadToken):
        Signer(b"secret", "blog").read(token(), now=NOW)


def test_token_of_another_key_is_refused() -> None:
    with pytest.raises(BadToken):
        Signer(b"another secret", "shop").read(token(), now=NOW)


def test_only_a_token_made_for_urls_is_taken_from_one() -> None:
    with pytest.raises(BadToken):
        SIGNER.read(token(), now=NOW, from_url=True)
    assert SIGNER.read(token(in_url=True), now=NOW, from_url=True).in_url


def test_token_for_urls_lives_for_ten_minutes_at_most() -> None:
    assert SIGNER.read(token(in_url=True, ttl=86_400.0), now=NOW, from_url=True).expires == NOW + 600


def test_interest_goes_with_cancel_only() -> None:
    readable = SIGNER.sign(RUN, ["read"], now=NOW, ttl=60, interest="ticket:1")
    assert SIGNER.read(readable, now=NOW).interest == ""


@pytest.mark.parametrize("actions", [["submit"], ["read", "list"], ["rule"], []])
def test_token_grants_only_what_is_about_a_run(actions: list[str]) -> None:
    with pytest.raises(ValueError, match="An access token grants some of read, result, cancel, cancel-all"):
        SIGNER.sign(RUN, actions, now=NOW, ttl=60)


@pytest.mark.parametrize("ttl", [0, -1, float("inf"), float("nan")])
def test_token_without_an_end_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="give a timedelta or seconds above 0"):
        SIGNER.sign(RUN, ["read"], now=NOW, ttl=ttl)

"""A member's own certificate, and the anchor that follows from the ledger's key: what stock OpenSSL makes of them."""

import os
import ssl
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from salus.core.ids import DAY_MS, HOUR_MS
from salus.node.http.certificates import (
    LIFE_MS,
    RENEW_AFTER_MS,
    NotACertificateError,
    anchor_of,
    load_own,
    make_own,
    read_certificate,
)
from tests.node.http.wires import ANNA, BEN, as_if_of, clock, context_of, fresh


def handshake(caller: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Both ends in memory. Raises SSLError where one refuses the other."""
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    one = caller.wrap_bio(pipes[0], pipes[1], server_hostname=name)
    other = server.wrap_bio(pipes[2], pipes[3], server_side=True)
    waiting = [one, other]
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
            pipes[2].write(pipes[1].read())
            pipes[0].write(pipes[3].read())
        if not waiting:
            return
    raise AssertionError("no end was reached")


def serving(own: object, *pinned: object) -> ssl.SSLContext:
    context = context_of(own, *pinned)  # type: ignore[arg-type]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.verify_mode = ssl.CERT_REQUIRED
    for der in context.get_ca_certs(binary_form=True):
        server.load_verify_locations(cadata=der)
    load_own(server, own)  # type: ignore[arg-type]
    return server


KEY, OTHER = fresh(), fresh()
NOW = clock()
BENS = make_own(BEN, OTHER, (), NOW)


@pytest.mark.parametrize(
    ("own", "pinned", "says"),
    [
        (make_own(ANNA, fresh(), (), NOW), KEY, "issuer"),
        (make_own(ANNA, KEY, (), NOW - 31 * DAY_MS), KEY, "expired"),
        (make_own(ANNA, KEY, (), NOW + DAY_MS), KEY, "not yet valid"),
        (make_own(BEN, KEY, (), NOW), KEY, "issuer"),
    ],
    ids=["another key", "ended", "not begun", "another name"],
)
def test_openssl_refuses_what_the_ledgers_key_does_not_vouch_for(own: object, pinned: object, says: str) -> None:
    server = serving(BENS, (ANNA, pinned.public))  # type: ignore[attr-defined]
    with pytest.raises(ssl.SSLCertVerificationError, match=says):
        handshake(context_of(own, (BEN, OTHER.public)), server, BEN)  # type: ignore[arg-type]


def test_openssl_refuses_a_signature_of_another_key_under_the_right_names() -> None:
    """The identifiers that OpenSSL finds an issuer by are forged too; the signature is not."""
    own = as_if_of(make_own(ANNA, KEY, (), NOW), fresh())
    server = serving(BENS, (ANNA, KEY.public))
    with pytest.raises(ssl.SSLCertVerificationError, match="signature failure"):
        handshake(context_of(own, (BEN, OTHER.public)), server, BEN)


def test_openssl_refuses_a_server_under_another_name() -> None:
    caller = context_of(make_own(ANNA, KEY, (), NOW), (BEN, OTHER.public))
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(caller, serving(BENS, (ANNA, KEY.public)), ANNA)


def test_both_ends_are_believed_by_keys_alone_and_either_key_counts_while_one_is_replaced() -> None:
    newer = fresh()
    server = serving(BENS, (ANNA, KEY.public), (ANNA, newer.public))
    for key in (KEY, newer):
        handshake(context_of(make_own(ANNA, key, ("127.0.0.1", "host.test"), NOW), (BEN, OTHER.public)), server, BEN)


def test_a_certificate_says_who_with_which_key_and_until_when() -> None:
    own = make_own(ANNA, KEY, ("127.0.0.1", "host.test"), NOW)
    shown = read_certificate(own.data)
    assert (shown.member, shown.key) == (ANNA, KEY.public)
    assert abs(shown.ends - NOW - LIFE_MS) < 1000
    assert own.renew == NOW + RENEW_AFTER_MS
    certificate = x509.load_der_x509_certificate(own.data)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(
        milliseconds=LIFE_MS + HOUR_MS
    )
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["anna", "host.test"]


def test_what_no_member_makes_is_no_certificate() -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anna")])
    dates = x509.load_der_x509_certificate(BENS.data)
    elliptic = (
        x509.CertificateBuilder(name, name, secret.public_key(), 1)
        .not_valid_before(dates.not_valid_before_utc)
        .not_valid_after(dates.not_valid_after_utc)
        .sign(secret, SHA256())
    )
    for data in (b"", os.urandom(64), elliptic.public_bytes(Encoding.DER)):
        with pytest.raises(NotACertificateError):
            read_certificate(data)
    with pytest.raises(NotACertificateError):
        anchor_of(ANNA, b"short")


def test_an_anchor_is_the_same_wherever_it_is_made() -> None:
    anchor_of.cache_clear()
    first = anchor_of(ANNA, KEY.public)
    anchor_of.cache_clear()
    assert anchor_of(ANNA, KEY.public) == first

"""X.509 without an authority: a member certifies itself, and the ledger's public key alone vouches for it.

A member's certificate names it as subject, and as issuer "<member> tls"; both carry the same key K. From K a verifier
makes the issuer's certificate by itself (`anchor_of`): OpenSSL looks at a trust anchor's name, key and dates, never at
its signature, so any will do. Stock verification then covers chain and dates. Who may present which key is `trust.py`.
"""

import ipaddress
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from salus.core.errors import MalformedError
from salus.core.ids import DAY_MS, HOUR_MS, MemberId, PublicKey, TimeMs
from salus.crypto.signatures import SigningKey

LIFE_MS = 30 * DAY_MS
RENEW_AFTER_MS = 20 * DAY_MS
BACKDATED_MS = HOUR_MS  # A peer's clock may be behind.

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ANCHORED = (datetime(2020, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC))  # The ledger says when a key ends.
_ANY_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # Signs anchors; known to all and trusted by nobody.


class NotACertificateError(MalformedError):
    """The certificate is not one that a member makes for itself."""

    code = "wire.not_a_certificate"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer's certificate says: who it is, with which key, until when."""

    member: MemberId
    key: PublicKey
    ends: TimeMs


@dataclass(frozen=True, slots=True, repr=False)
class Own:
    """A member's certificate in force, with its secret key."""

    data: bytes  # DER.
    pem: bytes  # Certificate and secret key, as OpenSSL loads them.
    renew: TimeMs


def make_own(member: MemberId, key: SigningKey, hosts: tuple[str, ...], now: TimeMs, life_ms: int = LIFE_MS) -> Own:
    """A fresh certificate for a member that is reached under its name, and these hosts."""
    secret = Ed25519PrivateKey.from_private_bytes(key.seed)
    public = secret.public_key()
    names = [_reached(name) for name in dict.fromkeys((member, *hosts))]
    dates = (_time(now - BACKDATED_MS), _time(now + life_ms))
    builder = _begun(member, _issuer(member), public, dates, is_anchor=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(_issued_by(public), critical=False)
    made = builder.sign(secret, None)
    pem = made.public_bytes(Encoding.PEM) + secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Own(made.public_bytes(Encoding.DER), pem, now + life_ms * RENEW_AFTER_MS // LIFE_MS)


@lru_cache(maxsize=4096)
def anchor_of(member: MemberId, key: PublicKey) -> bytes:
    """The issuer's certificate (DER), made from what the ledger holds: it vouches for certificates with this key alone.

    Raises:
        NotACertificateError: the key is no Ed25519 key.
    """
    try:
        public = Ed25519PublicKey.from_public_bytes(key)
    except ValueError:
        raise NotACertificateError(member=member) from None
    builder = _begun(_issuer(member), _issuer(member), public, _ANCHORED, is_anchor=True)
    return builder.sign(_ANY_KEY, None).public_bytes(Encoding.DER)


def read_certificate(data: bytes) -> Shown:
    """What a certificate (DER) says. Its signature and dates are OpenSSL's to check.

    Raises:
        NotACertificateError: it does not name one subject, or carries a key of another kind.
    """
    try:
        certificate = x509.load_der_x509_certificate(data)
        (name,) = certificate.subject
        key = certificate.public_key()
    except (ValueError, x509.UnsupportedGeneralNameType):
        raise NotACertificateError from None
    if name.oid != NameOID.COMMON_NAME or not isinstance(name.value, str) or not isinstance(key, Ed25519PublicKey):
        raise NotACertificateError
    ends = (certificate.not_valid_after_utc - _EPOCH) // timedelta(milliseconds=1)
    return Shown(MemberId(name.value), key.public_bytes_raw(), ends)


def anchors_of(pinned: tuple[tuple[MemberId, PublicKey], ...]) -> bytes:
    """The anchors for all of these, as `SSLContext.load_verify_locations` takes them."""
    return b"".join(anchor_of(member, key) for member, key in pinned)


def load_own(context: ssl.SSLContext, own: Own) -> None:
    """Give a context a member's certificate and key. OpenSSL reads files alone: the key is in none on a disk."""
    with _in_memory(own.pem) as path:
        context.load_cert_chain(path)


@contextmanager
def _in_memory(data: bytes) -> Iterator[str]:
    """A path under which these bytes can be read, by this process alone, until the block ends."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("salus")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # For its owner alone, and gone with the block.
            file.write(data)
            file.flush()
            yield file.name


def _reached(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _issuer(member: MemberId) -> str:
    return f"{member} tls"


def _issued_by(public: Ed25519PublicKey) -> x509.AuthorityKeyIdentifier:
    named = x509.SubjectKeyIdentifier.from_public_key(public)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _begun(
    subject: str, issuer: str, public: Ed25519PublicKey, dates: tuple[datetime, datetime], *, is_anchor: bool
) -> x509.CertificateBuilder:
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(1 if is_anchor else x509.random_serial_number())
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
        .add_extension(x509.BasicConstraints(ca=is_anchor, path_length=0 if is_anchor else None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(_usage(is_anchor), critical=True)
    )
    return builder if is_anchor else builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)


def _usage(is_anchor: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_anchor,
        key_cert_sign=is_anchor,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _time(at: TimeMs) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)

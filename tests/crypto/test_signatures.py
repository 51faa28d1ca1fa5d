import json
import os
from pathlib import Path

import pytest

from salus.core.errors import MalformedError
from salus.crypto.errors import BadKeyError
from salus.crypto.signatures import SigningKey, is_sound, verify

DATA = Path(os.environ.get("SALUS_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
KEY = SigningKey(bytes(range(32)))
MESSAGE = b"freeze"
SIGNATURE = KEY.sign(MESSAGE)

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
IDENTITY = (1).to_bytes(32, "little")
SMALL_ORDER = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
MIXED_ORDER = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(BadKeyError) as caught:
        SigningKey(bytes(31))
    assert caught.value.code == "crypto.bad_key"
    assert isinstance(caught.value, MalformedError)


@pytest.mark.parametrize(
    ("key", "message", "signature"),
    [
        (KEY.public, b"thaw", SIGNATURE),
        (SigningKey(bytes(32)).public, MESSAGE, SIGNATURE),
        (KEY.public, MESSAGE, bytes(64)),
        (KEY.public, MESSAGE, SIGNATURE[:63]),
        (KEY.public, MESSAGE, SIGNATURE + b"\0"),
        (KEY.public, MESSAGE, b""),
        (KEY.public[:31], MESSAGE, SIGNATURE),
        (b"", MESSAGE, SIGNATURE),
        (KEY.public, SIGNATURE[-1:] + MESSAGE, SIGNATURE[:-1] + b"\0"),
    ],
)
def test_what_was_not_signed_is_refused(key: bytes, message: bytes, signature: bytes) -> None:
    assert not verify(key, message, signature)


def test_any_flipped_bit_of_a_signature_is_refused() -> None:
    for bit in range(512):
        altered = (int.from_bytes(SIGNATURE, "little") ^ (1 << bit)).to_bytes(64, "little")
        assert not verify(KEY.public, MESSAGE, altered), bit


def test_a_scalar_above_the_order_is_refused() -> None:
    scalar = int.from_bytes(SIGNATURE[32:], "little") + ORDER
    assert not verify(KEY.public, MESSAGE, SIGNATURE[:32] + scalar.to_bytes(32, "little"))


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),  # Order 4.
        IDENTITY,
        (PRIME - 1).to_bytes(32, "little"),  # Order 2.
        bytes.fromhex(SMALL_ORDER),  # Order 8.
        bytes.fromhex(MIXED_ORDER),
        (PRIME + 1).to_bytes(32, "little"),  # The identity, not reduced.
        (2).to_bytes(32, "little"),  # Not on the curve.
        bytes(31),
        bytes(33),
    ],
)
def test_a_key_that_is_not_canonical_and_of_full_order_is_unsound(key: bytes) -> None:
    assert not is_sound(key)


def test_a_signature_by_a_small_order_key_is_refused_for_every_message() -> None:
    # With R = S·B and A the identity, the equation holds for whatever is said to have been signed.
    for message in (b"freeze", b"close"):
        assert not verify(IDENTITY, message, IDENTITY + bytes(32))


def test_verdicts_on_the_twelve_edge_cases_are_frozen() -> None:
    """Chalkias, Garillot, Nikolaenko: "Taming the many EdDSAs" (2020); libsodium alone would take the fourth."""
    file = DATA / "ed25519-speccheck.json"
    if not file.exists():
        pytest.skip("ed25519-speccheck.json is not among the shared data")
    cases = [
        tuple(bytes.fromhex(row[name]) for name in ("pub_key", "message", "signature"))
        for row in json.loads(file.read_text())
    ]
    assert len(cases) == 12
    assert [verify(key, message, signature) for key, message, signature in cases] == [False] * 12
    # Cases 7 and 8 fall by their unreduced scalar alone: their key is sound.
    assert [is_sound(key) for key, _, _ in cases] == [False] * 6 + [True] * 2 + [False] * 4


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_signing_follows_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    key = SigningKey(bytes.fromhex(seed))
    assert key.public.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert verify(key.public, bytes.fromhex(message), bytes.fromhex(signature))


def test_a_key_does_not_show_its_seed() -> None:
    assert bytes(range(32)).hex() not in repr(KEY)
    assert repr(bytes(range(32))) not in repr(KEY)

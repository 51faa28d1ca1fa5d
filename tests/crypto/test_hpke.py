import json
from importlib.resources import files

import pytest
from Crypto.Protocol import HPKE
from Crypto.PublicKey import Hybrid
from cryptography.hazmat.bindings._rust import openssl
from cryptography.hazmat.primitives import hpke as library

from salus.core.errors import MalformedError
from salus.crypto.errors import BadKeyError, UnopenableError
from salus.crypto.hpke import OVERHEAD_BYTES, SEALING_KEY_BYTES, OpeningKey, seal

SEED = bytes(range(32))
KEY = OpeningKey(SEED)
INFO = b"salus.test/1"
XWING, HKDF_SHA256, CHACHA20 = 0x647A, 1, 3
CHACHA20_SUITE = library.Suite(library.KEM.MLKEM768_X25519, library.KDF.HKDF_SHA256, library.AEAD.CHACHA20_POLY1305)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def second_implementation(seed: bytes) -> Hybrid.HybridKey:
    return Hybrid.generate(param_set=Hybrid.MLKEM768_X25519, randfunc=lambda size: seed[:size])


@pytest.mark.parametrize("place", [0, 1087, 1088, 1119, 1120, 1135, -1])
def test_altered_bytes_do_not_open(place: int) -> None:
    sealed = seal(KEY.public, b"secret", INFO)
    with pytest.raises(UnopenableError):
        KEY.open(flipped(sealed, place % len(sealed)), INFO)


@pytest.mark.parametrize("length", [0, 1, 1088, 1119, 1120, 1135])
def test_cut_bytes_do_not_open(length: int) -> None:
    sealed = seal(KEY.public, b"", INFO)
    with pytest.raises(UnopenableError) as caught:
        KEY.open(sealed[:length], INFO)
    assert caught.value.code == "crypto.unopenable"
    assert isinstance(caught.value, MalformedError)


def test_another_key_or_another_purpose_does_not_open() -> None:
    sealed = seal(KEY.public, b"secret", INFO)
    with pytest.raises(UnopenableError):
        OpeningKey(bytes(32)).open(sealed, INFO)
    with pytest.raises(UnopenableError):
        KEY.open(sealed, INFO + b"0")


def test_an_x25519_share_of_small_order_does_not_open() -> None:
    sealed = seal(KEY.public, b"secret", INFO)
    with pytest.raises(UnopenableError):
        KEY.open(sealed[:1088] + bytes(32) + sealed[1120:], INFO)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        KEY.public[:-1],
        KEY.public + b"\0",
        b"\xff" * SEALING_KEY_BYTES,  # ML-KEM coefficients that are not reduced.
        KEY.public[:1184] + bytes(32),  # X25519 point of small order.
    ],
)
def test_bytes_that_are_no_key_are_refused(key: bytes) -> None:
    with pytest.raises(BadKeyError):
        seal(key, b"secret", INFO)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(BadKeyError):
        OpeningKey(bytes(64))


@pytest.mark.parametrize("message", [b"", b"secret", bytes(100_000)])
def test_what_is_sealed_opens_and_grows_by_a_fixed_size(message: bytes) -> None:
    sealed = seal(KEY.public, message, INFO)
    assert len(sealed) == len(message) + OVERHEAD_BYTES
    assert KEY.open(sealed, INFO) == message


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal(KEY.public, b"secret", INFO) != seal(KEY.public, b"secret", INFO)


def test_the_published_vectors_open() -> None:
    """X-Wing (0x647a) with HKDF-SHA-256: our expansion of seeds and order of keys; their AEAD is ChaCha20-Poly1305."""
    text = files("cryptography_vectors").joinpath("HPKE", "hpke-pq-test-vectors.json").read_text()
    cases = [case for case in json.loads(text) if (case["kem_id"], case["kdf_id"]) == (XWING, HKDF_SHA256)]
    assert cases
    for case in cases:
        assert case["aead_id"] == CHACHA20
        key = OpeningKey(bytes.fromhex(case["skRm"]))
        assert key.public.hex() == case["pkRm"]
        first = next(one for one in case["encryptions"] if one["aad"] == b"Count-0".hex())
        enc_and_ct, info = bytes.fromhex(case["enc"] + first["ct"]), bytes.fromhex(case["info"])
        # The public call takes no associated data, the vectors have some: this is the call behind it.
        opened = openssl.hpke._decrypt_with_aad(CHACHA20_SUITE, enc_and_ct, key._key, info, b"Count-0")
        assert opened.hex() == first["pt"]


def test_a_second_implementation_opens_what_we_seal() -> None:
    other = second_implementation(SEED)
    sealed = seal(KEY.public, b"secret", INFO)
    opener = HPKE.new(receiver_key=other, aead_id=HPKE.AEAD.AES256_GCM, enc=sealed[:1120], info=INFO)
    assert opener.unseal(sealed[1120:]) == b"secret"


def test_we_open_what_a_second_implementation_seals() -> None:
    sealer = HPKE.new(receiver_key=second_implementation(SEED).public_key(), aead_id=HPKE.AEAD.AES256_GCM, info=INFO)
    ciphertext = sealer.seal(b"secret")
    assert KEY.open(sealer.enc + ciphertext, INFO) == b"secret"

import base64
import hashlib
import json
import zlib
from importlib.resources import files

import pytest
from cryptography.cobblestone import Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from salus.crypto import documents
from salus.crypto.documents import (
    CHUNK_BYTES,
    chunk_count,
    open_chunk,
    open_chunks,
    open_document,
    padded_size,
    padme,
    seal_chunks,
    seal_document,
)
from salus.crypto.errors import BadKeyError, OversizeError, UnopenableError

KEY, CONTEXT = bytes(range(32)), b"chain|record|author"
DOCUMENT = b'{"resourceType":"Observation","valueDecimal":1.00}'
SEALED = seal_document(KEY, CONTEXT, DOCUMENT)
ONLY_CHUNK = CONTEXT + bytes(4) + b"\0\0\0\x01"
SEGMENT_BYTES = 16 * 1024


def open_by_specification(key: bytes, context: bytes, sealed: bytes, algorithm: HashAlgorithm) -> bytes:
    """A second implementation of c2sp.org/chunked-encryption with AES-256-GCM."""
    salt, commitment, rest = sealed[:24], sealed[24:56], sealed[56:]
    if len(key) != 32 or len(commitment) != 32:
        raise InvalidTag
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    derived = HKDFExpand(algorithm=algorithm, length=32 + 12 + 32, info=info).derive(key)
    if derived[44:] != commitment:
        raise InvalidTag
    base, size, opened = int.from_bytes(derived[32:44], "big"), SEGMENT_BYTES + 16, []
    for number in range(len(rest) // size + 1):
        segment = rest[number * size : (number + 1) * size]
        if len(segment) < 16:
            raise InvalidTag
        opened.append(AESGCM(derived[:32]).decrypt((base ^ number).to_bytes(12, "big"), segment, None))
    return b"".join(opened)


def seal_anything(padded: bytes) -> bytes:
    encryptor = Cobblestone256Encryptor(KEY, ONLY_CHUNK)
    return encryptor.update(padded) + encryptor.finalize()


def vector_ciphertext(case: dict[str, str]) -> bytes:
    data = base64.b64decode(case["ciphertext"] or "")
    return zlib.decompress(data) if case.get("compressed") else data


def cobblestone_cases() -> list[dict[str, str]]:
    text = files("cryptography_vectors").joinpath("chunked-encryption", "vectors.json").read_text()
    return [case for case in json.loads(text)["vectors"] if case["aead"] == "AEAD_AES_256_GCM"]


@pytest.mark.parametrize("place", range(0, len(SEALED), 7))
def test_an_altered_byte_does_not_open(place: int) -> None:
    altered = SEALED[:place] + bytes([SEALED[place] ^ 1]) + SEALED[place + 1 :]
    with pytest.raises(UnopenableError) as caught:
        open_document(KEY, CONTEXT, altered, len(DOCUMENT))
    assert caught.value.code == "crypto.unopenable"


@pytest.mark.parametrize("length", [0, 1, 24, 56, 71, 72, len(SEALED) - 1])
def test_cut_bytes_do_not_open(length: int) -> None:
    with pytest.raises(UnopenableError):
        open_document(KEY, CONTEXT, SEALED[:length], len(DOCUMENT))


def test_another_key_or_context_does_not_open() -> None:
    with pytest.raises(UnopenableError):
        open_document(bytes(32), CONTEXT, SEALED, len(DOCUMENT))
    with pytest.raises(UnopenableError):
        open_document(KEY, CONTEXT + b"\0", SEALED, len(DOCUMENT))


@pytest.mark.parametrize("size", [0, len(DOCUMENT) - 1, len(DOCUMENT) + 1, 300])
def test_another_size_than_announced_does_not_open(size: int) -> None:
    with pytest.raises(UnopenableError):
        open_document(KEY, CONTEXT, SEALED, size)


@pytest.mark.parametrize(
    "padded",
    [
        (3).to_bytes(8, "big") + b"abc" + bytes(244) + b"\x01",  # A hidden byte in the padding.
        (4).to_bytes(8, "big") + b"abc" + bytes(245),  # Another size within.
        (3).to_bytes(8, "big") + b"abc" + bytes(246),  # Padded too far.
        (3).to_bytes(8, "big") + b"abc",  # Not padded.
        b"",
    ],
)
def test_padding_in_another_form_is_refused(padded: bytes) -> None:
    with pytest.raises(UnopenableError):
        open_document(KEY, CONTEXT, seal_anything(padded), 3)


def test_padding_in_its_one_form_is_taken() -> None:
    assert open_document(KEY, CONTEXT, seal_anything((3).to_bytes(8, "big") + b"abc" + bytes(245)), 3) == b"abc"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(BadKeyError):
        seal_document(bytes(size), CONTEXT, DOCUMENT)
    with pytest.raises(BadKeyError):
        open_document(bytes(size), CONTEXT, SEALED, len(DOCUMENT))


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal_document(KEY, CONTEXT, DOCUMENT) != SEALED


@pytest.mark.parametrize("size", [0, 1, 247, 248, 249, 2_048, SEGMENT_BYTES - 8, SEGMENT_BYTES, 100_000])
def test_a_document_comes_back_byte_for_byte(size: int) -> None:
    data = bytes(index * 7 & 255 for index in range(size))
    sealed = seal_document(KEY, CONTEXT, data)
    assert open_document(KEY, CONTEXT, sealed, size) == data
    assert len(sealed) == 56 + padded_size(size) + 16 * (padded_size(size) // SEGMENT_BYTES + 1)


def test_small_documents_look_alike() -> None:
    assert len({len(seal_document(KEY, CONTEXT, bytes(size))) for size in range(249)}) == 1


def test_padme_gives_the_values_of_its_paper() -> None:
    """By hand from the paper's definition: E = floor(log2 L), S = floor(log2 E) + 1, the last E - S bits are zero."""
    assert [padme(length) for length in (8, 9, 10, 17, 255, 256, 257, 1_000_000)] == [
        8,
        10,
        10,
        18,
        256,
        256,
        272,
        1_015_808,
    ]


@given(st.integers(2, 1 << 50))
def test_padme_never_adds_more_than_twelve_percent(length: int) -> None:
    padded = padme(length)
    assert length <= padded <= length + length * 12 // 100 + 1
    assert padme(padded) == padded
    assert padme(length + 1) >= padded


def test_the_published_vectors_have_the_verdicts_they_name() -> None:
    """Judges the test's own second implementation, so that it may judge what we seal.

    The vectors are for SHA-256; Cobblestone-256 differs from them in the hash alone, which is SHA-512.
    """
    cases = cobblestone_cases()
    assert len(cases) == 34
    for case in cases:
        key, context = bytes.fromhex(case["key"]), case["context"].encode()
        if case["expect"] == "success":
            payload = open_by_specification(key, context, vector_ciphertext(case), SHA256())
            assert hashlib.sha256(payload).hexdigest() == case["payload_sha256"], case["name"]
        else:
            with pytest.raises(InvalidTag):
                open_by_specification(key, context, vector_ciphertext(case), SHA256())


@pytest.mark.parametrize("size", [0, 3, SEGMENT_BYTES, 50_000])
def test_a_second_implementation_opens_what_we_seal(size: int) -> None:
    data = b"\xa5" * size
    padded = open_by_specification(KEY, ONLY_CHUNK, seal_document(KEY, CONTEXT, data), SHA512())
    assert padded == size.to_bytes(8, "big") + data + bytes(padded_size(size) - 8 - size)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 1,000 bytes: the rules are the same, and a test needs no gigabyte."""
    monkeypatch.setattr(documents, "CHUNK_BYTES", 1_000)


LONG = bytes(range(250)) * 10  # Three chunks of 1,000, 1,000 and 500 bytes.


@pytest.mark.usefixtures("small_chunks")
def test_chunks_out_of_place_are_refused() -> None:
    first, second, third = seal_chunks(KEY, CONTEXT, LONG)
    for wrong in ([second, first, third], [first, second], [first, second, third, third], [first, first, third], []):
        with pytest.raises(UnopenableError):
            open_chunks(KEY, CONTEXT, wrong, len(LONG))


@pytest.mark.usefixtures("small_chunks")
def test_a_long_document_cannot_be_passed_off_as_a_shorter_one() -> None:
    first, second, _ = seal_chunks(KEY, CONTEXT, LONG)
    with pytest.raises(UnopenableError):
        open_chunks(KEY, CONTEXT, [first, second], 2_000)
    with pytest.raises(UnopenableError):
        open_document(KEY, CONTEXT, first, 1_000)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("number", [-1, 3])
def test_a_chunk_that_does_not_exist_is_refused(number: int) -> None:
    with pytest.raises(UnopenableError):
        open_chunk(KEY, CONTEXT, SEALED, number=number, size_bytes=len(LONG))


@pytest.mark.usefixtures("small_chunks")
def test_a_document_above_one_chunk_is_refused_whole() -> None:
    with pytest.raises(OversizeError):
        seal_document(KEY, CONTEXT, LONG)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (2_000, 2), (2_500, 3)])
def test_chunks_come_back_together_and_alone(size: int, count: int) -> None:
    sealed = seal_chunks(KEY, CONTEXT, LONG[:size])
    assert len(sealed) == chunk_count(size) == count
    assert open_chunks(KEY, CONTEXT, sealed, size) == LONG[:size]
    last = open_chunk(KEY, CONTEXT, sealed[-1], number=count - 1, size_bytes=size)
    assert last == LONG[(count - 1) * 1_000 : size]


def test_one_chunk_and_a_plain_document_have_one_form() -> None:
    [sealed] = seal_chunks(KEY, CONTEXT, DOCUMENT)
    assert open_document(KEY, CONTEXT, sealed, len(DOCUMENT)) == DOCUMENT
    assert open_chunks(KEY, CONTEXT, [SEALED], len(DOCUMENT)) == DOCUMENT


def test_a_document_above_64_mib_has_two_chunks() -> None:
    data = bytes(CHUNK_BYTES) + b"end"
    sealed = seal_chunks(KEY, CONTEXT, data)
    assert len(sealed) == 2
    assert open_chunk(KEY, CONTEXT, sealed[1], number=1, size_bytes=len(data)) == b"end"
    assert open_chunk(KEY, CONTEXT, sealed[0], number=0, size_bytes=len(data)) == data[:CHUNK_BYTES]

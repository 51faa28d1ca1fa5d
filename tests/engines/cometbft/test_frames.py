"""Frames and the messages in them, against an encoding worked out by hand, not by the code under test."""

import pytest

from salus.core.errors import MalformedError
from salus.engines.cometbft import abci_pb2 as abci
from salus.engines.cometbft.frames import FRAME_BYTES_MAX, Frames, framed


def varint(value: int) -> bytes:
    """By the definition: seven bits at a time, the lowest first, the highest bit set on all but the last."""
    return bytes([value & 0x7F | 0x80, *varint(value >> 7)]) if value > 0x7F else bytes([value])


def field(number: int, kind: int, data: bytes) -> bytes:
    return varint(number << 3 | kind) + data


def text(number: int, data: bytes) -> bytes:
    return field(number, 2, varint(len(data)) + data)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 16_383, 16_384, 2_097_152])
def test_a_frame_is_a_varint_and_the_message(size: int) -> None:
    message = bytes(size)
    assert framed(message) == varint(size) + message
    assert list(Frames().feed(framed(message))) == [message]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1_000])
def test_messages_come_out_whole_however_the_stream_was_cut(step: int) -> None:
    messages = [b"", b"a", bytes(130), bytes(range(256)) * 80, b"", b"z"]
    stream = b"".join(map(framed, messages))
    frames, found = Frames(), []
    for at in range(0, len(stream), step):
        found.extend(frames.feed(stream[at : at + step]))
    assert found == messages


@pytest.mark.parametrize("start", [varint(FRAME_BYTES_MAX + 1), b"\xff" * 5, b"\x80" * 5])
def test_a_length_beyond_the_limit_is_refused(start: bytes) -> None:
    with pytest.raises(MalformedError):
        list(Frames().feed(start))
    assert list(Frames().feed(b"\x80\x80\x80")) == []  # It may still become one.


def test_messages_have_the_protocols_field_numbers() -> None:
    """Fields and their numbers as ABCI 2.0 defines them; what this application does not use is skipped."""
    time = field(1, 0, varint(1_770_000_000)) + field(2, 0, varint(5_000_000))
    address = text(1, b"a" * 20) + field(3, 0, varint(1))
    misbehaviour = field(1, 0, varint(1)) + text(2, address) + field(3, 0, varint(7)) + text(4, time)
    unused = text(2, field(1, 0, varint(3)))  # decided_last_commit
    block = text(1, b"tx one") + text(1, b"tx two") + unused + text(3, misbehaviour) + text(4, bytes(32))
    block += field(5, 0, varint(9)) + text(6, time) + text(8, b"p" * 20)
    read = abci.Request.FromString(text(20, block)).finalize_block
    assert (list(read.txs), read.height) == ([b"tx one", b"tx two"], 9)
    assert (read.time.seconds, read.time.nanos) == (1_770_000_000, 5_000_000)
    shown = read.misbehavior[0]
    assert (shown.type, shown.validator.address, shown.height) == (abci.DUPLICATE_VOTE, b"a" * 20, 7)
    check = abci.Request.FromString(text(8, text(1, b"tx") + field(2, 0, varint(1)))).check_tx
    assert (check.tx, check.type) == (b"tx", abci.RECHECK)


def test_replies_have_the_protocols_field_numbers() -> None:
    results = [abci.ExecTxResult(data=b"ok"), abci.ExecTxResult(code=1, data=b"cells.not_owner")]
    update = abci.ValidatorUpdate(pub_key=abci.PublicKey(ed25519=b"k" * 32), power=1)
    reply = abci.FinalizeBlockResponse(tx_results=results, validator_updates=[update], app_hash=b"h" * 32)
    result = text(2, text(2, b"ok")) + text(2, field(1, 0, varint(1)) + text(2, b"cells.not_owner"))
    expected = result + text(3, text(1, text(1, b"k" * 32)) + field(2, 0, varint(1))) + text(5, b"h" * 32)
    assert abci.Response(finalize_block=reply).SerializeToString() == text(21, expected)
    accept = abci.ProcessProposalResponse(status=abci.ProcessProposalResponse.ACCEPT)
    assert abci.Response(process_proposal=accept).SerializeToString() == text(18, field(1, 0, varint(1)))
    empty = abci.PrepareProposalResponse(txs=[])
    assert abci.Response(prepare_proposal=empty).SerializeToString() == text(17, b"")  # Present, though it is empty.
    assert abci.Response(commit=abci.CommitResponse()).SerializeToString() == text(12, b"")
    assert abci.Response(check_tx=abci.CheckTxResponse(code=1, data=b"c")).SerializeToString() == text(
        9, field(1, 0, varint(1)) + text(2, b"c")
    )

"""CometBFT's JSON, as its RPC and the public test vectors write it, read into `blocks.py`.

Whoever answers may lie or be broken: what is not of the expected shape is `UnreadableBlockError`, before anything of
it is believed. Text in it is never shown.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from calendar import timegm
from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from salus.core.errors import MalformedError
from salus.core.ids import ChainId
from salus.core.wire import decode, encode
from salus.engines.cometbft.blocks import (
    DIGEST_BYTES,
    BlockId,
    Header,
    LightBlock,
    Small,
    Validator,
    Vote,
    address_of,
    header_hash,
    in_order,
)
from salus.engines.cometbft.encoding import SECOND_NS

T = TypeVar("T")
R = TypeVar("R", Header, LightBlock)

_FOR_BLOCK = 2
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")
_ED25519 = "tendermint/PubKeyEd25519"


class UnreadableBlockError(MalformedError):
    """What CometBFT answered is not a block, or its parts do not belong together."""

    code = "engine.unreadable_block"


class _Version(msgspec.Struct, frozen=True):
    block: str = "0"
    app: str = "0"


class _Parts(msgspec.Struct, frozen=True):
    total: Small = 0
    hash: str = ""


class _BlockId(msgspec.Struct, frozen=True):
    hash: str = ""
    parts: _Parts | None = None  # In the RPC.
    part_set_header: _Parts | None = None  # In the test vectors.

    @property
    def of(self) -> _Parts:
        return self.parts or self.part_set_header or _Parts()


class _Header(msgspec.Struct, frozen=True):
    version: _Version
    chain_id: str
    height: str
    time: str
    last_block_id: _BlockId | None
    last_commit_hash: str
    data_hash: str
    validators_hash: str
    next_validators_hash: str
    consensus_hash: str
    app_hash: str
    last_results_hash: str
    evidence_hash: str
    proposer_address: str


class _Signature(msgspec.Struct, frozen=True):
    block_id_flag: int
    validator_address: str
    timestamp: str
    signature: str | None


class _Commit(msgspec.Struct, frozen=True):
    height: str
    round: Small
    block_id: _BlockId
    signatures: list[_Signature]


class SignedHeader(msgspec.Struct, frozen=True):
    """A header and its commit, as the RPC's `/commit` answers them."""

    header: _Header
    commit: _Commit


class _Key(msgspec.Struct, frozen=True):
    type: str
    value: str


class ValidatorJson(msgspec.Struct, frozen=True):
    """A validator, as the RPC's `/validators` lists it."""

    address: str
    pub_key: _Key
    voting_power: str


def as_shape(shape: type[T], value: object) -> T:
    """Plain data as one of these shapes.

    Raises:
        UnreadableBlockError: it is not.
    """
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        raise UnreadableBlockError(reason=f"not a {shape.__name__.strip('_').lower()}") from None


def read_light_block(signed_header: object, validators: tuple[Validator, ...]) -> LightBlock:
    """A light block from plain data and validators that were read already.

    Raises:
        UnreadableBlockError: another shape; or a commit of another block than the header's.
    """
    shown = as_shape(SignedHeader, signed_header)
    header = _header(shown.header)
    commit = shown.commit
    if number(commit.height) != header.height or unhex(commit.block_id.hash) != header_hash(header):
        raise UnreadableBlockError(reason="a commit of another block", height=header.height)
    votes = [_vote(one) for one in commit.signatures if one.block_id_flag == _FOR_BLOCK]
    return _checked(
        LightBlock(
            header=header,
            round=commit.round,
            parts=commit.block_id.of.total,
            parts_root=unhex(commit.block_id.of.hash),
            votes=tuple(sorted(votes, key=lambda vote: vote.validator)),
            validators=validators,
        )
    )


def read_header(header: object) -> Header:
    """A header from plain data.

    Raises:
        UnreadableBlockError: another shape.
    """
    return _header(as_shape(_Header, header))


def read_validators(validators: object) -> tuple[Validator, ...]:
    """A whole set of validators, in CometBFT's order.

    Raises:
        UnreadableBlockError: another shape, another kind of key, or an address that is not the key's.
    """
    found: list[Validator] = []
    shown: Sequence[ValidatorJson] = as_shape(list[ValidatorJson], validators)
    for one in shown:
        key = unbase64(one.pub_key.value)
        if one.pub_key.type != _ED25519 or len(key) != DIGEST_BYTES or unhex(one.address) != address_of(key):
            raise UnreadableBlockError(reason="not an Ed25519 validator")
        found.append(Validator(key=key, power=number(one.voting_power)))
    return in_order(found)


def number(text: str) -> int:
    """An integer that is not negative, as CometBFT writes it: in a string."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise UnreadableBlockError(reason="not a number")
    return int(text)


def unhex(text: str) -> bytes:
    """Bytes in hexadecimal."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UnreadableBlockError(reason="not hexadecimal") from None


def unbase64(text: str | None) -> bytes:
    """Bytes in base 64; nothing where there is none."""
    try:
        return b64decode(text or "", validate=True)
    except (Base64Error, ValueError):
        raise UnreadableBlockError(reason="not base 64") from None


def read_time(text: str) -> int:
    """Nanoseconds since 1970 from RFC 3339 with up to nine digits."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise UnreadableBlockError(reason="not a time")
    try:
        seconds = timegm(datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").timetuple())
    except ValueError:
        raise UnreadableBlockError(reason="not a time") from None
    return seconds * SECOND_NS + int((found[2] or "").ljust(9, "0"))


def _header(shown: _Header) -> Header:
    previous = shown.last_block_id or _BlockId()
    return _checked(
        Header(
            block_version=number(shown.version.block),
            app_version=number(shown.version.app),
            chain=ChainId(shown.chain_id),
            height=number(shown.height),
            time=read_time(shown.time),
            previous=BlockId(unhex(previous.hash), previous.of.total, unhex(previous.of.hash)),
            last_commit=unhex(shown.last_commit_hash),
            data=unhex(shown.data_hash),
            validators=unhex(shown.validators_hash),
            next_validators=unhex(shown.next_validators_hash),
            consensus=unhex(shown.consensus_hash),
            app_hash=unhex(shown.app_hash),
            last_results=unhex(shown.last_results_hash),
            evidence=unhex(shown.evidence_hash),
            proposer=unhex(shown.proposer_address),
        )
    )


def _vote(shown: _Signature) -> Vote:
    return Vote(unhex(shown.validator_address), read_time(shown.timestamp), unbase64(shown.signature))


def _checked(value: R) -> R:
    """The same value, its sizes checked against their types, as when it arrives in our own bytes."""
    try:
        return decode(type(value), encode(value))
    except (MalformedError, OverflowError):  # A time may be of any century.
        raise UnreadableBlockError(reason=f"not a {type(value).__name__}") from None

"""A chain in CometBFT's form with keys that follow from names: the real machine's results, validators that change."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from salus.core.wire import replace
from salus.crypto.digests import derive, digest
from salus.crypto.merkle import root
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import (
    BLOCK_VERSION,
    BlockId,
    Header,
    LightBlock,
    Validator,
    Vote,
    address_of,
    header_hash,
    in_order,
    signed_bytes,
    transactions_root,
    validators_hash,
)
from salus.engines.cometbft.light import MS_NS
from salus.engines.cometbft.receipts import CometReceipt, StateEntry, result_leaf_of
from salus.engines.receipts import path_of
from tests.support.network import STARTED, Ledger, Network

SECOND_NS = 1_000 * MS_NS
PARTS = 1
CONSENSUS = digest(b"consensus")


def stranger(name: str) -> SigningKey:
    """A key that no genesis names."""
    return SigningKey(derive(b"comet test", name))


@dataclass(slots=True)
class Chain:
    """Blocks of one network, each signed by all validators of its time, a second apart."""

    net: Network
    ledger: Ledger = field(init=False)
    keys: tuple[SigningKey, ...] = ()
    blocks: list[LightBlock] = field(default_factory=list)
    txs: list[tuple[bytes, ...]] = field(default_factory=list)
    codes: list[tuple[str, ...]] = field(default_factory=list)
    time: int = STARTED * MS_NS

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.net)
        self.keys = self.keys or tuple(party.validator for party in self.net.parties)

    def add(self, *txs: bytes, then: Sequence[SigningKey] | None = None, after_ns: int = SECOND_NS) -> LightBlock:
        """The next block; the next one is by the keys `then`."""
        self.time += after_ns if self.blocks else 0
        after = tuple(then) if then is not None else self.keys
        block = signed(unsigned(self._header(txs, after), self.keys), self.keys)
        applied = self.ledger.block(*txs)
        self.blocks.append(block)
        self.txs.append(txs)
        self.codes.append(tuple(result.code for result in applied.results))
        self.keys = after
        return block

    def at(self, height: int) -> LightBlock:
        return self.blocks[height - 1]

    def receipt(self, height: int, index: int = 0, entries: tuple[StateEntry, ...] = ()) -> CometReceipt:
        """The receipt of a transaction, with nothing between the genesis and the proof."""
        txs, codes = self.txs[height - 1], self.codes[height - 1]
        turns, tx_siblings = path_of([digest(tx) for tx in txs], index)
        return CometReceipt(
            tx=txs[index],
            code=codes[index],
            turns=turns,
            tx_siblings=tx_siblings,
            result_siblings=path_of([result_leaf_of(code) for code in codes], index)[1],
            header=self.at(height).header,
            proof=self.at(height + 1),
            entries=entries,
            since=(),
            checkpoints=(),
        )

    def _header(self, txs: tuple[bytes, ...], after: Sequence[SigningKey]) -> Header:
        newest = self.blocks[-1] if self.blocks else None
        return Header(
            block_version=BLOCK_VERSION,
            app_version=1,
            chain=self.net.chain,
            height=len(self.blocks) + 1,
            time=self.time,
            previous=BlockId(header_hash(newest.header), PARTS, newest.parts_root) if newest else BlockId(b"", 0, b""),
            last_commit=root([vote.signature for vote in newest.votes] if newest else []),
            data=transactions_root(txs),
            validators=validators_hash(as_set(self.keys)),
            next_validators=validators_hash(as_set(after)),
            consensus=CONSENSUS,
            app_hash=self.ledger.app_hash,
            last_results=root([result_leaf_of(code) for code in self.codes[-1]] if newest else []),
            evidence=root([]),
            proposer=address_of(self.keys[0].public),
        )


def as_set(keys: Sequence[SigningKey], power: int = 1) -> tuple[Validator, ...]:
    return in_order(Validator(key=key.public, power=power) for key in keys)


def unsigned(header: Header, keys: Sequence[SigningKey]) -> LightBlock:
    parts_root = digest(b"parts" + header_hash(header))
    return LightBlock(header, round=0, parts=PARTS, parts_root=parts_root, votes=(), validators=as_set(keys))


def signed(block: LightBlock, keys: Sequence[SigningKey]) -> LightBlock:
    """The block with votes by these keys alone."""
    votes = []
    for number, key in enumerate(keys):
        vote = Vote(address_of(key.public), block.header.time + 1 + number, bytes(64))
        votes.append(replace(vote, signature=key.sign(signed_bytes(block, vote))))
    return replace(block, votes=tuple(sorted(votes, key=lambda vote: vote.validator)))


def forged(block: LightBlock, keys: Sequence[SigningKey], **changes: object) -> LightBlock:
    """Another block at the same place, signed by these keys."""
    header = replace(block.header, **changes)
    return signed(replace(block, header=header, votes=()), keys)

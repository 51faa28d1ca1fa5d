"""Receipts of a chain in CometBFT's form by four members, and every way in which one must be refused."""

from functools import cache

from salus.contracts.cells.tables import CELLS
from salus.core.wire import replace
from salus.crypto.digests import derive, digest
from salus.crypto.lasting import LastingSigningKey
from salus.crypto.signatures import SigningKey
from salus.engines.cometbft.blocks import LightBlock, validators_hash
from salus.engines.cometbft.checkpoints import (
    CheckpointSignature,
    SignedCheckpoint,
    checkpoint_of,
    gather,
    sign_checkpoint,
)
from salus.engines.cometbft.receipts import CometReceipt, StateEntry
from tests.engines.cometbft.chain import Chain, as_set, forged, signed, stranger
from tests.support.network import network

NET = network(4)
OTHER = network(4, seed=b"another network")
YEAR_NS = 366 * 24 * 3600 * 10**9


def validators() -> tuple[SigningKey, ...]:
    return tuple(party.validator for party in NET.parties)


@cache
def chain() -> Chain:
    """Blocks of five, none and one transactions; then three of four validators are replaced, one block after the other,
    and there is one more transaction."""
    made = Chain(NET)
    _, second, third, fourth = validators()
    made.add()
    made.add(*[made.ledger.tx("mercy" if i else "st-luke", NET.create(NET.id16(n))) for i, n in enumerate("abaca")])
    made.add()
    made.add(made.ledger.tx("mercy", NET.create(NET.id16("d"))))
    made.add(then=(second, third, fourth, stranger("new")))
    made.add(then=(third, fourth, stranger("new"), stranger("newer")))
    made.add(then=(fourth, stranger("new"), stranger("newer"), stranger("newest")))
    made.add(made.ledger.tx("mercy", NET.create(NET.id16("e"))))
    made.add()
    return made


@cache
def made() -> tuple[CometReceipt, ...]:
    """Receipts of a block of five transactions, two of them refused, of a block of one, and after changes."""
    of_five = [chain().receipt(2, index) for index in range(5)]
    later = replace(chain().receipt(8), since=(chain().at(6), chain().at(7)))
    return (*of_five, with_entries("d"), later)


def with_entries(*cells: str) -> CometReceipt:
    """With what the state says of cells: `d` is there, others are not."""
    made = Chain(NET)
    made.add(made.ledger.tx("mercy", NET.create(NET.id16("d"))))
    keys = [CELLS.key_bytes(NET.id16(cell)) for cell in cells]
    state = made.ledger.state
    entries = tuple(StateEntry(key, state.get(key), state.prove(key)) for key in keys)
    made.add()
    return made.receipt(1, entries=entries)


def forged_proof(receipt: CometReceipt, **changes: object) -> CometReceipt:
    return replace(receipt, proof=forged(receipt.proof, validators(), **changes))


def cases() -> list[tuple[str, CometReceipt]]:
    """What is wrong, and the receipt."""
    first, second, refused, *_, entries, later = made()
    single = chain().receipt(4)
    proof, header = first.proof, first.header
    keys = validators()
    strangers = tuple(stranger(f"forger {number}") for number in range(4))
    there = entries.entries[0]
    return [
        ("a header of another chain", replace(first, header=replace(header, chain="other"))),
        ("a proof of another chain", forged_proof(first, chain="other")),
        ("another transaction", replace(first, tx=second.tx)),
        ("another code", replace(first, code="cells.exists")),
        ("a refusal shown as an acceptance", replace(refused, code="ok")),
        ("another place", replace(first, turns=second.turns)),
        ("turns beyond the path", replace(first, turns=first.turns | 1 << len(first.tx_siblings))),
        ("a sibling too few", replace(first, tx_siblings=first.tx_siblings[:-1])),
        ("a sibling too few of both", _shorter(first)),
        ("a sibling too many", replace(single, tx_siblings=(digest(b"x"),), result_siblings=(digest(b"x"),))),
        ("the result at another place", replace(first, result_siblings=first.result_siblings[::-1])),
        ("the header of another block", replace(first, header=single.header)),
        ("the proof of another block", replace(first, proof=single.proof)),
        ("the block itself as its proof", replace(first, proof=chain().at(2))),
        ("a proof two blocks later", replace(first, proof=forged(proof, keys, height=4))),
        ("a proof that names another block", forged_proof(first, previous=chain().at(2).header.previous)),
        ("a proof changed after it was signed", replace(first, proof=replace(proof, header=_later(proof)))),
        ("another version of blocks", forged_proof(first, block_version=12)),
        ("a proof before the genesis", forged_proof(first, time=1)),
        ("no vote", replace(first, proof=signed(proof, ()))),
        ("two votes of four", replace(first, proof=signed(proof, keys[:2]))),
        ("one vote three times", replace(first, proof=signed(proof, keys[:1] * 3))),
        ("votes in another order", replace(first, proof=replace(proof, votes=proof.votes[::-1]))),
        ("a vote by a stranger", replace(first, proof=signed(proof, (*keys, strangers[0])))),
        ("the votes of another block", replace(first, proof=replace(proof, votes=single.proof.votes))),
        ("a vote's time changed", replace(first, proof=_vote_later(proof))),
        ("validators of another power", replace(first, proof=_twice_the_power(proof))),
        ("no validators", replace(first, proof=replace(proof, validators=()))),
        ("another network's validators", replace(first, proof=_by_others(proof))),
        ("an entry with another value", _entry(entries, there.key, b"x")),
        ("an entry shown as absent", _entry(entries, there.key, None)),
        ("an entry of another key", _entry(entries, b"cells/cell/x", there.value)),
        ("the entries of another block", replace(first, entries=entries.entries)),
        ("changed validators and nothing between", replace(later, since=())),
        ("changed validators and too little between", replace(later, since=(chain().at(5),))),
        ("signed by half of those trusted", replace(later, since=(chain().at(6),))),
        ("what is between changed", replace(later, since=(forged(chain().at(6), strangers), chain().at(7)))),
        ("what is between in another order", replace(later, since=(chain().at(7), chain().at(6)))),
        ("the proof between", replace(later, since=(*later.since, later.proof))),
    ]


@cache
def checkpoint_keys() -> dict[str, LastingSigningKey]:
    return {party.member: LastingSigningKey(derive(NET.seed, party.member, "checkpoint")) for party in NET.parties}


def public_keys() -> dict[str, bytes]:
    return {member: key.public for member, key in checkpoint_keys().items()}


def _shorter(receipt: CometReceipt) -> CometReceipt:
    return replace(
        receipt,
        turns=receipt.turns & (1 << len(receipt.tx_siblings) - 1) - 1,
        tx_siblings=receipt.tx_siblings[:-1],
        result_siblings=receipt.result_siblings[:-1],
    )


def _later(block: LightBlock) -> object:
    return replace(block.header, time=block.header.time + 1)


def _vote_later(block: LightBlock) -> LightBlock:
    one, *rest = block.votes
    return replace(block, votes=(replace(one, time=one.time + 1), *rest))


def _twice_the_power(block: LightBlock) -> LightBlock:
    return replace(block, validators=tuple(replace(one, power=2) for one in block.validators))


def _by_others(block: LightBlock) -> LightBlock:
    keys = tuple(party.validator for party in OTHER.parties)
    named = validators_hash(as_set(keys))
    header = replace(block.header, validators=named, next_validators=named)
    return signed(replace(block, header=header, validators=as_set(keys)), keys)


def _entry(receipt: CometReceipt, key: bytes, value: bytes | None) -> CometReceipt:
    one, *rest = receipt.entries
    return replace(receipt, entries=(StateEntry(key, value, one.proof), *rest))


def signed_checkpoint(height: int, *, by: int = 4, of: Chain | None = None) -> SignedCheckpoint:
    """The checkpoint of a block, signed by the first so many members."""
    checkpoint = checkpoint_of((of or chain()).at(height), public_keys())
    keys = list(checkpoint_keys().items())[:by]
    return gather(checkpoint, [CheckpointSignature(member, sign_checkpoint(key, checkpoint)) for member, key in keys])

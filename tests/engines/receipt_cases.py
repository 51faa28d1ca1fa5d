"""Receipts of two blocks by four members, and every way in which one must be refused."""

from functools import cache

from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.engines.receipts import Receipt, Vote, path_of
from salus.machine.block import Header, header_id, header_of, outcome_leaf
from tests.support.network import Ledger, network

NET = network(4)
OTHER = network(4, seed=b"another network")
STRANGER = SigningKey(digest(b"stranger"))


@cache
def made() -> tuple[Receipt, ...]:
    """Receipts of all transactions of a block of five, two of them refused, and of a block of one."""
    ledger = Ledger(NET)
    receipts: list[Receipt] = []
    for names in ("abaca", "d"):
        txs = [ledger.tx("mercy" if i else "st-luke", NET.create(NET.id16(name))) for i, name in enumerate(names)]
        applied = ledger.block(*txs)
        header = header_of(ledger.blocks[-1], applied)
        leaves = [outcome_leaf(tx, result) for tx, result in zip(txs, applied.results, strict=True)]
        for index, (tx, result) in enumerate(zip(txs, applied.results, strict=True)):
            turns, siblings = path_of(leaves, index)
            receipts.append(Receipt(tx, result, turns, siblings, header, votes(header)))
    return tuple(receipts)


def votes(header: Header) -> tuple[Vote, ...]:
    return tuple(Vote(party.member, party.validator.sign(header_id(header))) for party in NET.parties)


def cases() -> list[tuple[str, Receipt]]:
    """What is wrong, and the receipt."""
    first, second, *_, single = made()
    by_all, header = first.votes, first.header
    other_chain = replace(header, chain="other")
    other_validators = replace(header, validators=digest(b"others"))
    later = replace(header, height=header.height + 1)
    stranger = Vote(by_all[0].validator, STRANGER.sign(header_id(header)))
    by_ledger_key = Vote(by_all[0].validator, NET.parties[0].ledger.sign(header_id(header)))
    return [
        ("a header of another chain", replace(first, header=other_chain, votes=votes(other_chain))),
        ("a header with other validators", replace(first, header=other_validators, votes=votes(other_validators))),
        ("another transaction", replace(first, tx=second.tx)),
        ("another result", replace(first, result=second.result)),
        ("a refusal shown as an acceptance", replace(made()[2], result=replace(made()[2].result, code="ok"))),
        ("another place", replace(first, turns=second.turns)),
        ("turns beyond the path", replace(first, turns=first.turns | 1 << len(first.siblings))),
        ("a sibling too few", replace(first, siblings=first.siblings[:-1])),
        ("a sibling too many", replace(single, siblings=(digest(b"one more"),))),
        ("siblings in another order", replace(first, siblings=first.siblings[::-1])),
        ("the header of another block", replace(first, header=single.header, votes=single.votes)),
        ("a header changed after it was signed", replace(first, header=later)),
        ("no vote", replace(first, votes=())),
        ("two votes of four", replace(first, votes=by_all[:2])),
        ("one vote three times", replace(first, votes=by_all[:1] * 3)),
        ("four votes, one twice", replace(first, votes=(*by_all[:3], by_all[2]))),
        ("a vote under a stranger's name", replace(first, votes=(*by_all[:3], replace(by_all[3], validator="x")))),
        ("a vote by a stranger's key", replace(first, votes=(stranger, *by_all[1:]))),
        ("a vote by a member's key for another duty", replace(first, votes=(by_ledger_key, *by_all[1:]))),
        ("two votes under each other's names", replace(first, votes=_swapped(by_all))),
        ("the votes of another block", replace(first, votes=single.votes)),
    ]


def _swapped(votes: tuple[Vote, ...]) -> tuple[Vote, ...]:
    one, two, *rest = votes
    return (replace(one, signature=two.signature), replace(two, signature=one.signature), *rest)

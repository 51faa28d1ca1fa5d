"""Receipts of two blocks by four members, and every way in which one must be refused."""

from collections.abc import Sequence
from functools import cache

from salus.contracts.cells.messages import Create
from salus.contracts.members.messages import Propose
from salus.contracts.members.messages import Vote as Vote_
from salus.contracts.members.reads import validators
from salus.core.wire import replace
from salus.crypto.digests import digest
from salus.crypto.signatures import SigningKey
from salus.engines.receipts import Handover, Receipt, Vote, digest_of, named, path_of
from salus.machine.block import Header, header_id, header_of, outcome_leaf
from tests.support.governance import JOINER as JOINED
from tests.support.governance import add, approve, joiner, proposal_id, propose, rekey, with_party
from tests.support.network import Ledger, Party, network

NET = network(4)
OTHER = network(4, seed=b"another network")
JOINER, REKEYED = joiner(), joiner("northgate")
JOIN, REKEY = proposal_id("join"), proposal_id("rekey")
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


def votes(header: Header, parties: Sequence[Party] = NET.parties) -> tuple[Vote, ...]:
    return tuple(Vote(party.member, party.validator.sign(header_id(header))) for party in parties)


@cache
def history() -> tuple[tuple[Receipt, ...], tuple[Handover, ...]]:
    """The first receipt of each of nine blocks: a fifth validator joins at height 3, another's keys change at 7.

    Each is signed by those who validated before it, and holds the handovers until then.
    """
    ledger = Ledger(with_party(NET, JOINER, REKEYED))  # What northgate signs as a sponsor does not matter here.
    signers: tuple[Party, ...] = NET.parties
    steps: list[tuple[str, Propose | Vote_ | Create]] = [
        ("mercy", propose(JOIN, add())),
        ("st-luke", approve(JOIN)),
        ("lakeside", approve(JOIN)),
        ("mercy", propose(REKEY, rekey("northgate", REKEYED))),
        ("st-luke", approve(REKEY)),
        ("lakeside", approve(REKEY)),
        (JOINED, approve(REKEY)),
        ("northgate", NET.create(NET.id16("by a new key"))),
        ("mercy", NET.create(NET.id16("last"))),
    ]
    receipts: list[Receipt] = []
    handovers: list[Handover] = []
    for sponsor, message in steps:
        tx = ledger.tx(sponsor, message)
        before = validators(ledger.state)
        applied = ledger.block(tx)
        assert applied.results[0].code == "ok"
        header = header_of(ledger.blocks[-1], applied)
        signed = votes(header, signers)
        receipts.append(Receipt(tx, applied.results[0], 0, (), header, signed, tuple(handovers)))
        after = validators(ledger.state)
        if after != before:
            handovers.append(Handover(header, signed, named(after)))
            signers = tuple(_party(member, key) for member, key in after)
    return tuple(receipts), tuple(handovers)


def _party(member: str, key: bytes) -> Party:
    return next(one for one in (*NET.parties, JOINER, REKEYED) if (one.member, one.validator.public) == (member, key))


def handed_over() -> Receipt:
    """A receipt after both handovers."""
    return history()[0][8]


def deciding() -> Receipt:
    """The receipt of the vote that let the fifth validator in."""
    return history()[0][2]


def handed_cases() -> list[tuple[str, Receipt]]:
    """What is wrong with the way from the genesis to a header, and the receipt."""
    receipt, (first, second) = handed_over(), history()[1]
    by_old = votes(receipt.header)
    others = replace(first, validators=second.validators)
    by_stranger = replace(first, votes=(*first.votes[:3], replace(first.votes[3], signature=bytes(64))))
    other_chain = replace(first.header, chain="other")
    unchanged = replace(first.header, height=1, validators=digest_of(named(tuple(validators(Ledger(NET).state)))))
    idle = Handover(unchanged, votes(unchanged), named(tuple(validators(Ledger(NET).state))))
    late = replace(first.header, height=receipt.header.height)
    by_new = replace(first, votes=votes(first.header, (JOINER, *NET.parties[:2])))
    return [
        ("no handover", replace(receipt, handovers=())),
        ("signed by those of the genesis", replace(receipt, votes=by_old[:3])),
        ("the first handover alone", replace(receipt, handovers=(first,))),
        ("the second handover alone", replace(receipt, handovers=(second,))),
        ("handovers in another order", replace(receipt, handovers=(second, first))),
        ("a handover twice", replace(receipt, handovers=(first, first, second))),
        ("a handover to others than its header binds", replace(receipt, handovers=(others, second))),
        ("a handover to the same ones", replace(receipt, handovers=(idle, first, second))),
        ("a handover with two votes", replace(receipt, handovers=(replace(first, votes=first.votes[:2]), second))),
        ("a handover with a forged vote", replace(receipt, handovers=(by_stranger, second))),
        ("a handover signed by those whom it names", replace(receipt, handovers=(by_new, second))),
        ("a handover of another chain", replace(receipt, handovers=(signed_by_all(first, other_chain), second))),
        ("a handover at the header's own height", replace(receipt, handovers=(signed_by_all(first, late),))),
        ("a handover after the header", replace(deciding(), handovers=(first,))),
        ("an earlier receipt with a later handover", replace(history()[0][4], handovers=(first, second))),
    ]


def signed_by_all(handover: Handover, header: Header) -> Handover:
    """The same handover under another header, signed by the four of the genesis."""
    return replace(handover, header=header, votes=votes(header))


def cases() -> list[tuple[str, Receipt]]:
    """What is wrong, and the receipt."""
    first, second, *_, single = made()
    by_all, header = first.votes, first.header
    other_chain = replace(header, chain="other")
    later = replace(header, height=header.height + 1)
    stranger = Vote(by_all[0].validator, STRANGER.sign(header_id(header)))
    by_ledger_key = Vote(by_all[0].validator, NET.parties[0].ledger.sign(header_id(header)))
    return [
        ("a header of another chain", replace(first, header=other_chain, votes=votes(other_chain))),
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

"""Envelopes that an author sends, made by hand so that a test can change any part of them."""

from dataclasses import dataclass

from salus.core.ids import ChainId
from salus.core.wire import encode, replace
from salus.crypto.hpke import seal
from salus.crypto.signatures import SigningKey
from salus.keeper.messages import BatchShares, Deposit, Entry, Signed, batch_statement, info
from salus.sdk.author import NewDocument
from salus.sdk.author_store import OwnEntry, Plan
from salus.sdk.dealing import by_index
from tests.node.stage import Stage


@dataclass(frozen=True, slots=True)
class Genuine:
    """What an honest author would send to one seat."""

    shares: BatchShares
    key: SigningKey  # The author's ledger key.


def genuine(on: Stage, author: str, documents: list[NewDocument], seat: int = 1) -> Genuine:
    """A seat's shares of a batch, as the author itself deals them; nothing is sent."""
    member = on[author]
    draft = member.author._draft(documents, on.network.committee)
    return dealt(on, author, draft.plan, by_index(draft.own), seat)


def dealt(on: Stage, author: str, plan: Plan, entries: list[OwnEntry], seat: int = 1) -> Genuine:
    """A seat's shares of a plan with these records, whatever the plan says of their roots."""
    member = on[author]
    shares, hashes = member.author._dealt(plan, entries, member.gateway.committee(on.network.committee))
    return Genuine(
        BatchShares(
            chain=member.gateway.chain,
            author=member.name,
            batch_id=plan.batch_id,
            committee=plan.committee,
            epoch=plan.epoch,
            seat=seat,
            root=plan.root,
            share_root=plan.share_root,
            dummy_seed=plan.dummy_seed,
            entries=tuple(
                Entry(entry.index, entry.salt, entry.header, shares[seat - 1][32 * at : 32 * at + 32], hashes[at])
                for at, entry in enumerate(entries)
            ),
        ),
        member.gateway.key,
    )


def envelope(on: Stage, sent: Genuine, *, seat: int = 1, opened_by: int = 1, purpose: str = "deposit") -> Deposit:
    """The shares, signed and sealed to a seat."""
    body = encode(sent.shares)
    signed = encode(Signed(body=body, signature=sent.key.sign(batch_statement(body))))
    chain = ChainId(on.network.genesis.chain)
    holder = on["mercy"].gateway.committee(on.network.committee).seats[opened_by - 1]
    return Deposit(seat=seat, sealed=seal(holder.sealing, signed, info(chain, purpose)))


def altered(sent: Genuine, **changes: object) -> Genuine:
    """Other shares under the author's own signature."""
    return Genuine(replace(sent.shares, **changes), sent.key)


def altered_entry(sent: Genuine, at: int, **changes: object) -> Genuine:
    """One entry changed."""
    entries = list(sent.shares.entries)
    entries[at] = replace(entries[at], **changes)
    return altered(sent, entries=tuple(entries))

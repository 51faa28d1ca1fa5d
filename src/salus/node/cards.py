"""A member's public card: what an organisation hands over that wants to be invited. `NAME.card` in its folder.

    salus init southport --to /srv/salus      makes the keys and the card
    southport.card                            goes to whoever invites, by mail; it holds nothing secret

All keys that can sign have signed it, over the very statement that members vote on (`contracts/members/statements.py`),
so a card is also the proof that a proposal to let its member in needs. A card for a network that is still to be founded
names no chain. The rest, such as where light clients may ask, the ledger key vouches for.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from salus.contracts.members.messages import Address, Endpoints, KeyProof, MemberKeys
from salus.contracts.members.statements import joining, prove
from salus.contracts.members.transitions import signing_keys
from salus.core.errors import MalformedError, RefusalError
from salus.core.ids import ChainId, Digest, MemberId, Name, Signature
from salus.core.wire import Record, decode, encode, replace
from salus.crypto.digests import tagged
from salus.crypto.signatures import is_sound, verify
from salus.engines.cometbft.blocks import CHAIN_CHARS_MAX
from salus.node.keys import Secrets

CARD_BYTES_MAX = 16_384
UNSIGNED: Signature = bytes(64)
ANY_CHAIN = ChainId("")  # Of a card for a network that is still to be founded.

Chain = Annotated[ChainId, Meta(max_length=CHAIN_CHARS_MAX, pattern=r"^[a-zA-Z0-9._-]*\Z")]
Jurisdiction = Annotated[str, Meta(min_length=1, max_length=16, pattern=r"^[a-z0-9-]+\Z")]


class NotACardError(MalformedError):
    """The file is no card of a member, or was cut short."""

    code = "node.not_a_card"


class FalseCardError(RefusalError):
    """A key on the card did not sign it: it is not the card of who holds these keys."""

    code = "node.false_card"


class Card(Record, tag="node.card/1", frozen=True):
    """An organisation that wants to be a member."""

    chain: Chain
    member: Name
    keys: MemberKeys
    jurisdiction: Jurisdiction
    endpoints: Endpoints
    light: Address  # Where light clients may ask its engine.
    proof: KeyProof
    signature: Signature  # By the ledger key, over all before it.


def make_card(
    member: MemberId, secrets: Secrets, *, chain: ChainId, jurisdiction: str, endpoints: Endpoints, light: str
) -> Card:
    """A member's card, signed."""
    keys = secrets.public
    statement = joining(chain=chain, member=member, keys=keys, jurisdiction=jurisdiction, endpoints=endpoints)
    proof = prove(statement, ledger=secrets.ledger, validator=secrets.validator, keeper=secrets.keeper, tls=secrets.tls)
    card = Card(chain, member, keys, jurisdiction, endpoints, light, proof, UNSIGNED)
    return replace(card, signature=secrets.ledger.sign(_signed(card)))


def read_card(data: bytes) -> Card:
    """A card, as its member made it.

    Raises, in this order:
        NotACardError: it is none.
        FalseCardError: a key on it is not one that all would judge alike, or did not sign.
    """
    try:
        card = decode(Card, data[: CARD_BYTES_MAX + 1])
    except MalformedError:
        raise NotACardError from None
    check_card(card)
    return card


def check_card(card: Card) -> None:
    """Raise unless every key on a card that can sign has signed it. Raises as `read_card`."""
    statement = joining(
        chain=card.chain,
        member=card.member,
        keys=card.keys,
        jurisdiction=card.jurisdiction,
        endpoints=card.endpoints,
    )
    proof = card.proof
    signatures = (proof.ledger, proof.validator, proof.keeper, proof.tls)
    for key, signature in zip(signing_keys(card.keys), signatures, strict=True):
        if not is_sound(key) or not verify(key, statement, signature):
            raise FalseCardError(member=card.member)
    if not verify(card.keys.ledger, _signed(card), card.signature):
        raise FalseCardError(member=card.member)


def card_id(card: Card) -> Digest:
    """What names a card, whoever holds it."""
    return tagged("node.card_id", encode(card))


def card_file(folder: Path, member: MemberId) -> Path:
    """Where a member's own card lies."""
    return folder / f"{member}.card"


def fingerprint(digest: Digest) -> str:
    """The half of a digest that people read to each other by telephone: eight groups of four."""
    text = digest.hex()[:32]
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def _signed(card: Card) -> Digest:
    return tagged("node.card", encode(replace(card, signature=UNSIGNED)))

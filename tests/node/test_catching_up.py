"""Where a joiner begins: at a block that follows from the invitation, that others confirm, and nobody contradicts."""

import pytest

from salus.core.errors import SalusError
from salus.core.wire import encode, replace
from salus.engines.cometbft.blocks import LightBlock, header_hash
from salus.engines.cometbft.client import Fetch
from salus.engines.cometbft.light import MS_NS, LightBlockError, TrustExpiredError
from salus.node.catching_up import AttackedError, UnconfirmedError, trust_height, verified_block
from tests.engines.cometbft.chain import forged, stranger
from tests.engines.cometbft.receipt_cases import chain, validators
from tests.engines.cometbft.test_witness import COMMON, EQUIVOCATION, LUNATIC, NOW, TRUE, away, source

OTHER = bytes([7]) * 32
NOW_MS = NOW // MS_NS + 1
UNSIGNED_LIE = forged(TRUE, [stranger(str(number)) for number in range(4)], app_hash=OTHER)


async def begun(height: int, *sources: Fetch, start: LightBlock = COMMON, now: int = NOW_MS) -> LightBlock:
    return await verified_block(start, height, {f"member-{at}:1": one for at, one in enumerate(sources)}, now)


@pytest.mark.parametrize("lie", [EQUIVOCATION, LUNATIC])
async def test_two_signed_blocks_at_one_height_are_an_attack(lie: LightBlock) -> None:
    with pytest.raises(AttackedError):
        await begun(4, source(), source(), source(lie))
    with pytest.raises(AttackedError):
        await begun(4, source(lie), source(), source())


async def test_a_primary_that_tells_what_nobody_signed_is_refused() -> None:
    with pytest.raises(LightBlockError):
        await begun(4, source(UNSIGNED_LIE), source())


async def test_one_liar_without_a_proof_keeps_nobody_from_joining() -> None:
    assert await begun(4, source(), source(UNSIGNED_LIE), source()) == TRUE


async def test_the_word_of_one_alone_is_not_enough_where_others_could_be_asked() -> None:
    for other in (away, source(UNSIGNED_LIE)):
        with pytest.raises(UnconfirmedError):
            await begun(4, source(), other)


async def test_where_nobody_else_is_known_the_inviter_suffices() -> None:
    assert await begun(4, source()) == TRUE


async def test_the_invitations_own_block_is_compared_with_what_members_hold() -> None:
    assert await begun(3, source(), source()) == COMMON
    lie = forged(COMMON, [stranger(str(number)) for number in range(4)], app_hash=OTHER)
    with pytest.raises(LightBlockError):
        await begun(3, source(lie), source())
    assert await begun(3, source(), source(lie), source()) == COMMON
    signed_lie = forged(COMMON, validators()[:3], app_hash=bytes([5]) * 32)
    with pytest.raises(AttackedError):
        await begun(3, source(), source(signed_lie))


async def test_an_invitation_from_long_ago_begins_nothing() -> None:
    with pytest.raises(TrustExpiredError):
        await begun(4, source(), source(), now=NOW_MS + 15 * 24 * 3_600_000)


async def test_a_block_that_the_invitation_made_up_is_not_what_members_follow() -> None:
    made_up = forged(COMMON, [stranger(str(number)) for number in range(4)], app_hash=OTHER)
    with pytest.raises(SalusError):
        await begun(4, source(), source(), start=made_up)


async def test_blocks_between_are_asked_for_until_the_end_is_verified() -> None:
    newest = len(chain().blocks)
    found = await begun(newest, source(), source(), start=chain().at(1))
    assert header_hash(found.header) == header_hash(chain().at(newest).header)
    assert encode(found) == encode(replace(chain().at(newest)))


@pytest.mark.parametrize(
    ("newest", "height"), [(0, 0), (1_999, 0), (3_999, 0), (4_000, 2_000), (5_999, 2_000), (6_000, 4_000)]
)
def test_it_begins_at_the_older_of_the_snapshots_that_are_kept(newest: int, height: int) -> None:
    assert trust_height(newest, 2_000) == height

"""Live writes share a batch, whoever's they are; a refused one fails alone."""

import asyncio
from pathlib import Path

import pytest

from salus.contracts.records.header import LEAVES_PER_BATCH
from salus.core.errors import UnavailableError
from salus.core.ids import FhirType
from salus.sdk.author import NewDocument
from salus.sdk.batcher import Batcher
from salus.sdk.wallet import Wallet
from tests.node.stage import stage


def document(wallet: Wallet, name: str) -> NewDocument:
    data = b'{"resourceType":"Observation","id":"%s"}' % name.encode()
    return NewDocument(wallet.subject, data, FhirType("Observation"), ("date:2020",), (), 0, name)


async def test_a_writer_waits_no_longer_than_keepers_are_away(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        on.network.switchboard.off_line.update({"st-luke", "lakeside"})  # type: ignore[arg-type]
        batcher = Batcher(on["mercy"].author, wait_s=0.01)
        with pytest.raises(UnavailableError):
            await batcher.write(document(wallet, "a"), wallet.committee)


async def test_documents_that_arrive_together_share_a_batch_whoevers_they_are(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        first, second = await on.patient("mercy"), await on.patient("mercy")
        batcher = Batcher(on["mercy"].author, wait_s=0.05)
        records = await asyncio.gather(
            *(
                batcher.write(document(wallet, f"{n}"), wallet.committee)
                for n, wallet in enumerate([first, second, first])
            )
        )
        assert len({record.batch_id for record in records}) == 1
        assert len({record.index for record in records}) == 3
        later = await batcher.write(document(first, "later"), first.committee)
        assert later.batch_id != records[0].batch_id


async def test_a_full_batch_leaves_at_once_and_a_flush_sends_the_rest(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("mercy")
        batcher = Batcher(on["mercy"].author, wait_s=60)
        writes = [
            asyncio.create_task(batcher.write(document(wallet, f"{n}"), wallet.committee))
            for n in range(LEAVES_PER_BATCH + 1)
        ]
        done, waiting = await asyncio.wait(writes, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        assert len(waiting) >= 1
        await batcher.flush()
        records = await asyncio.gather(*writes)
        assert len({record.batch_id for record in records}) == 2
        assert len(done) <= LEAVES_PER_BATCH

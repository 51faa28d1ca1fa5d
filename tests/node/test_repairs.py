"""An author leaves and the committee changes after: its successor deals what it wrote again, and patients see it."""

from pathlib import Path

from salus.contracts.members.reads import successor_of
from salus.core.ids import MemberId
from salus.keeper.repairs import KIND, PURPOSE
from salus.sdk.patient_log import read_log
from tests.node.changing import assert_whole, in_force, joined, left, repaired
from tests.node.stage import permit, stage

NEW = ("southport", "eastbay", "westend")


async def test_what_a_departed_author_wrote_is_dealt_to_more_keepers_and_read_byte_for_byte(tmp_path: Path) -> None:
    async with stage(tmp_path) as on:
        wallet = await on.patient("lakeside", "mercy", rules=(permit("northgate"),))
        batch_id = (await on.seal("lakeside", wallet, "a", "b")).records[0].batch_id
        await on.seal("mercy", wallet, "c")
        await joined(on, *NEW)
        await left(on, "lakeside", "st-luke", seats=("mercy", "st-luke", "northgate", "southport"))
        assert successor_of(on.network.ledger.state, MemberId("lakeside")) == "st-luke"
        reader = await on.clinician("northgate")
        assert_whole(await on.view("northgate", reader, wallet), "a", "b", "c")
        await repaired(on)
        assert in_force(on, "lakeside", batch_id)[0] == 2
        view = await on.view("northgate", reader, wallet)
        assert_whole(view, "a", "b", "c")
        assert (view.answered, view.absent) == (4, ())
        log = await read_log(
            on["mercy"].gateway, wallet.subject, wallet.committee, [MemberId("mercy")], wallet.device_key()
        )
        entries = [entry for entry in log.entries if entry.kind == KIND]
        assert {(entry.member, entry.purpose) for entry in entries} == {("st-luke", PURPOSE)}
        assert log.faults == []
        assert on["st-luke"].store.repairs() == []

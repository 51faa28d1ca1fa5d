"""An author leaves and the committee changes after: its successor deals what it wrote again, and patients see it."""

from pathlib import Path

from salus.contracts.members.reads import successor_of
from salus.core.ids import MemberId
from salus.keeper.repairs import KIND, PURPOSE
from salus.sdk.patient_log import read_log
from tests.node.changing import assert_whole, in_force, joined, left, repaired, share_roots
from tests.node.stage import documents, permit, shown, stage

NEW = ("southport", "eastbay", "westend", "norwood")


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


async def test_what_many_patients_have_in_one_batch_moves_to_keepers_of_whom_none_held_it(tmp_path: Path) -> None:
    """The successor has no seat among them, and the whole batch hangs on three who sat there before."""
    async with stage(tmp_path) as on:
        wallets = [await on.patient("lakeside", by="lakeside", rules=(permit("northgate"),)) for _ in range(12)]
        together = [
            one for number, wallet in enumerate(wallets) for one in documents(wallet, f"a{number}", f"b{number}")
        ]
        batch_id = (await on["lakeside"].author.seal(together)).records[0].batch_id
        await joined(on, *NEW)
        await left(on, "lakeside", "st-luke", seats=NEW)
        await repaired(on)
        assert in_force(on, "lakeside", batch_id)[0] == 2
        assert [share_roots(on, name) for name in ("mercy", "st-luke", "northgate")] == [set()] * 3
        reader = await on.clinician("northgate")
        for number, wallet in enumerate(wallets):
            view = await on.view("northgate", reader, wallet)
            assert_whole(view, f"a{number}", f"b{number}")
            assert (view.answered, view.absent) == (4, ())
        wallet = await on.change(wallets[0], rules=())  # Taken back, it is taken back there too.
        assert shown(await on.view("northgate", reader, wallet)) == []

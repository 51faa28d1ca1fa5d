"""What waits for room fills up: a batch costs the same whether it holds ten records or a thousand."""

import asyncio
from dataclasses import replace

import pytest

from salus.cli.home import Home
from salus.cli.importing import Imported, batches, import_folder
from salus.cli.importing.batches import IN_FLIGHT, Batches, Incoming
from salus.cli.importing.report import ImportReport
from tests.cli_demo.bundles import chart
from tests.cli_demo.conftest import Write


async def test_what_has_waited_long_enough_fills_up_while_there_is_no_room(
    home: Home, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Imported] = []
    await import_folder(home, write(one=chart("p", ("mercy", ["o1"]))), on_imported=seen.append)
    document = replace(seen[0].document, replaces=None)
    report = ImportReport(members=4)
    sealing = Batches(home.network, report, None)

    def incoming(number: int) -> Incoming:
        return Incoming("one.json", seen[0].local, replace(document, source=f"Observation/more{number}"))

    monkeypatch.setattr(batches, "WAIT_S_MAX", 0.0)
    monkeypatch.setattr(batches, "LOOK_AGAIN_S", 0.01)
    for _ in range(IN_FLIGHT):
        await sealing._room.acquire()
    for number in range(3):
        await sealing.add(seen[0].member, [incoming(number)])
        await asyncio.sleep(0.03)
    assert report.batches == 0
    sealing._room.release()
    for _ in range(200):
        if report.batches:
            break
        await asyncio.sleep(0.05)
    assert (report.batches, report.records_sealed) == (1, 3)
    await sealing.finish()
    assert report.batches == 1

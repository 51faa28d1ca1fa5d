"""Files are read by workers; one that dies takes with it the files that it had, and no other."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor

import pytest

from salus.cli.importing import reading
from salus.cli.importing.reading import look_over, prepared_files, readers
from salus.sdk.hands import Hands
from tests.cli_demo.bundles import chart
from tests.cli_demo.conftest import Write


async def test_files_are_read_on_when_their_workers_are_killed(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_POOL_PAYS_BYTES", 0)
    names = [f"f{number}" for number in range(8)]
    seen = await look_over(write(**{name: chart(name, ("mercy", ["o1"])) for name in names}))
    with readers(seen, Hands()) as by:
        assert isinstance(by.pool, ProcessPoolExecutor)
        found = []
        async for file, prepared in prepared_files(by):
            found.append((file.name, prepared))
            for process in list((by.pool._processes or {}).values()) if len(found) == 1 else ():
                os.kill(process.pid or 0, signal.SIGKILL)
    assert [name for name, _ in found] == [f"{name}.json" for name in names]
    lost = [prepared for _, prepared in found if prepared.problems]
    assert len(lost) <= 3  # Those that were under way.
    assert all([problem.reason for problem in prepared.problems] == ["fhir.unreadable"] for prepared in lost)
    assert all(prepared.documents for _, prepared in found if not prepared.problems)

"""Live writes: documents that arrive within a tenth of a second, of whichever patients, share one batch.

A batch costs the ledger one entry however many records it has, and hides how many they are. Whoever writes waits for
the batch; a full one leaves at once.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from salus.contracts.records.header import LEAVES_PER_BATCH, RecordId
from salus.core.errors import SalusError
from salus.core.ids import CommitteeId
from salus.sdk.author import Author, NewDocument
from salus.sdk.errors import NothingToSealError

LIVE_WAIT_S = 0.1


@dataclass(slots=True)
class _Waiting:
    document: NewDocument
    done: asyncio.Future[RecordId]


class Batcher:
    """Collects one author's documents into batches, a batch per committee."""

    def __init__(self, author: Author, wait_s: float = LIVE_WAIT_S) -> None:
        self._author = author
        self._wait_s = wait_s
        self._waiting: dict[CommitteeId, list[_Waiting]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, document: NewDocument, committee: CommitteeId) -> RecordId:
        """Seal a document with whatever else arrives in time; final on return.

        Raises:
            NothingToSealError: keepers refused this document.
            UnavailableError: too few keepers took the batch; it goes on by itself when they are back.
        """
        waiting = _Waiting(document, asyncio.get_running_loop().create_future())
        queue = self._waiting.setdefault(committee, [])
        queue.append(waiting)
        if len(queue) == 1:
            asyncio.get_running_loop().call_later(self._wait_s, self._leave, committee, queue)
        elif len(queue) == LEAVES_PER_BATCH:
            self._leave(committee, queue)
        return await waiting.done

    async def flush(self) -> None:
        """Seal what is waiting, and wait for what is under way."""
        for committee, queue in list(self._waiting.items()):
            self._leave(committee, queue)
        await asyncio.gather(*self._tasks)

    def _leave(self, committee: CommitteeId, queue: list[_Waiting]) -> None:
        if self._waiting.get(committee) is not queue:
            return  # It left when it was full, or with a flush.
        del self._waiting[committee]
        task = asyncio.create_task(self._seal(queue))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _seal(self, queue: list[_Waiting]) -> None:
        try:
            sealed = await self._author.seal([one.document for one in queue])
            _resolve(queue, sealed.records)
        except SalusError as error:
            for one in queue:
                if not one.done.done():
                    one.done.set_exception(error)


def _resolve(queue: list[_Waiting], records: Mapping[int, RecordId]) -> None:
    for place, one in enumerate(queue):
        if one.done.done():
            continue  # Whoever wrote it has gone.
        record = records.get(place)
        if record is None:
            one.done.set_exception(NothingToSealError(records=1))
        else:
            one.done.set_result(record)

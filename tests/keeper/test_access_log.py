"""The access log: chained per subject, rooted over all, and whatever is altered or cut off shows."""

import pytest
import sqlalchemy as sa

from salus.core.faults import NO_FAULTS, Faults
from salus.core.ids import DAY_MS, MINUTE_MS, NO_DIGEST, Digest, MemberId
from salus.core.wire import decode, replace
from salus.keeper.access_log import AccessLog, _Draft
from salus.keeper.errors import StoreCorruptError
from salus.keeper.messages import LogEntry, log_entry_digest
from salus.keeper.store import LOG, SubjectStore
from salus.state.key_value import MemoryStore
from salus.state.proofs import Proof, verify
from tests.conftest import Database
from tests.node.stage import Clock

KEK = bytes(range(32))
ANNA, BEN = b"a" * 16, b"b" * 16
READER, OTHER = b"r" * 16, b"o" * 16


def opened(database: Database, clock: Clock, faults: Faults = NO_FAULTS) -> tuple[SubjectStore, AccessLog]:
    store = SubjectStore(database.engine(), KEK, faults=faults)
    store.set_reconciled(True)
    return store, AccessLog(MemberId("mercy"), store, clock)


def use(log: AccessLog, clock: Clock, subject: bytes, person: bytes = READER, purpose: str = "TREAT") -> LogEntry:
    def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
        return LogEntry(
            number=number,
            subject_number=subject_number,
            time=clock.now,
            height=1,
            where=MemberId("mercy"),
            request_id=bytes(16),
            member=MemberId("st-luke"),
            credential_id=person,
            handle=None,
            kind="clinician",
            purpose=purpose,  # type: ignore[arg-type]
            reason="",
            released=(),
            withheld=(),
            previous=previous,
        )

    return log.append(subject, person, fill)


def test_entries_are_numbered_in_the_log_and_per_subject_and_chained(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    for subject in (ANNA, BEN, ANNA):
        use(log, clock, subject)
    entries = [decode(LogEntry, data) for data in log.entries(ANNA)]
    assert [(entry.number, entry.subject_number) for entry in entries] == [(1, 1), (3, 2)]
    assert entries[0].previous == NO_DIGEST
    assert entries[1].previous == log_entry_digest(log.entries(ANNA)[0])
    assert [decode(LogEntry, data).number for data in log.entries(ANNA, after=1)] == [3]
    assert log.broken_chains() == []
    store.close()


def test_entries_for_many_subjects_are_written_all_or_none(database: Database) -> None:
    clock = Clock()
    _, log = opened(database, clock)
    use(log, clock, ANNA)
    first = decode(LogEntry, log.entries(ANNA)[0])

    def fill(number: int, subject_number: int, previous: Digest) -> LogEntry:
        return replace(first, number=number, subject_number=subject_number, previous=previous)

    def broken(_number: int, _subject_number: int, _previous: Digest) -> LogEntry:
        raise StoreCorruptError

    with pytest.raises(StoreCorruptError):
        log.append_all([(ANNA, fill), (BEN, broken)], READER)
    assert (len(log.entries(ANNA)), log.newest) == (1, 1)
    written = log.append_all([(ANNA, fill), (BEN, fill), (ANNA, fill)], READER)
    assert [(entry.number, entry.subject_number) for entry in written] == [(2, 2), (3, 1), (4, 3)]
    assert (log.append_all([], READER), log.newest, log.broken_chains()) == ([], 4, [])
    assert use(log, clock, BEN).number == 5


def test_the_log_goes_on_after_a_restart(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    use(log, clock, ANNA)
    store.close()
    store, log = opened(database, clock)
    assert (use(log, clock, ANNA).number, log.broken_chains(), log.has_news) == (2, [], True)
    store.close()


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_entry_that_failed_is_not_there_or_is_there_whole_and_the_next_one_follows(
    database: Database, when: str
) -> None:
    class Once:
        point = ""

        def hit(self, point: str) -> None:
            if point == self.point:
                self.point = ""
                raise OSError

    clock, faults = Clock(), Once()
    store, log = opened(database, clock, faults)
    use(log, clock, ANNA)
    faults.point = f"log.append:{when}"
    with pytest.raises(OSError):
        use(log, clock, ANNA)
    assert use(log, clock, ANNA).subject_number == (2 if when == "before" else 3)
    assert log.broken_chains() == []
    store.close()


def test_a_root_proves_each_subjects_last_number_and_head_as_of_that_root(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    use(log, clock, ANNA)
    use(log, clock, BEN)
    rooting = log.next_root()
    root = rooting.root
    assert rooting.number == 2
    assert log.told(ANNA, 0).anchored == b""  # Nothing is proved by a root that may never stand on the ledger.
    log.anchored(rooting)
    use(log, clock, ANNA)
    told = log.told(ANNA, 0)
    assert len(told.entries) == 2
    assert told.root == root
    assert verify(root, told.subject_key, told.anchored, decode(Proof, told.proof))
    assert decode(tuple[int, Digest], told.anchored) == (1, log_entry_digest(told.entries[0]))
    nobody = log.told(b"x" * 16, 0)
    assert nobody.entries == ()
    assert verify(root, nobody.subject_key, None, decode(Proof, nobody.proof))
    later = log.next_root()
    assert later.root != root
    log.anchored(later)
    log.anchored(rooting)  # An earlier one that comes late changes nothing.
    assert log.told(ANNA, 0).root == later.root
    store.close()


def test_a_draft_of_the_map_shows_what_will_be_and_keeps_what_is() -> None:
    pages = MemoryStore()
    for key in (b"a1", b"a2", b"a3", b"b"):
        pages.put(key, b"old")
    draft = _Draft(pages)
    draft.put(b"a2", b"new")
    draft.put(b"a4", b"new")
    draft.delete(b"a3")
    assert list(draft.scan(b"a")) == [(b"a1", b"old"), (b"a2", b"new"), (b"a4", b"new")]
    assert list(draft.scan(b"a", b"2")) == [(b"a2", b"new"), (b"a4", b"new")]
    assert (draft.get(b"a1"), draft.get(b"a3"), pages.get(b"a3")) == (b"old", None, b"old")


def test_a_root_is_overdue_a_minute_after_the_oldest_entry_it_lacks(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    assert not log.has_news
    use(log, clock, ANNA)
    clock.now += MINUTE_MS
    assert not log.is_overdue
    clock.now += 1
    assert log.is_overdue
    rooting = log.next_root()
    use(log, clock, BEN)
    log.anchored(rooting)
    assert log.has_news  # The newer entry still waits, and from its own time on.
    assert not log.is_overdue
    store.close()
    store, log = opened(database, clock)
    assert log.has_news
    store.close()


def test_uses_of_a_person_are_counted_over_a_day(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    for purpose in ("TREAT", "BTG", "BTG"):
        use(log, clock, ANNA, purpose=purpose)
    use(log, clock, BEN, OTHER)
    assert (log.reads(READER), log.reads(OTHER)) == (3, 1)
    broken = log.broken(READER, MemberId("st-luke"), bytes(16))
    assert (broken.by_person, broken.by_member, broken.first) == (1, 1, clock.now)  # One request, asked twice.
    assert log.broken(OTHER, MemberId("st-luke"), bytes(16)).by_person == 0
    clock.now += DAY_MS
    assert log.reads(READER) == 0
    assert log.broken(READER, MemberId("st-luke"), b"x" * 16).by_person == 0
    store.close()


def test_a_row_that_was_cut_out_or_moved_shows_as_a_broken_chain(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    for _ in range(3):
        use(log, clock, ANNA)
    with store.commit("test"):
        store.connection.execute(LOG.delete().where(LOG.c.number == 2))
    assert log.broken_chains() == [3]
    with store.commit("test"):
        store.connection.execute(sa.update(LOG).where(LOG.c.number == 1).values(head=bytes(32)))
    assert 1 in log.broken_chains()
    store.close()


def test_a_row_whose_bytes_were_changed_does_not_open(database: Database) -> None:
    clock = Clock()
    store, log = opened(database, clock)
    use(log, clock, ANNA)
    with store.commit("test"):
        store.connection.execute(sa.update(LOG).values(wrapped=bytes(200)))
    with pytest.raises(StoreCorruptError):
        log.entries(ANNA)
    store.close()

"""The acts in which something goes wrong: a mistake, a liar, an absence; and the proof that needs no network."""

from dataclasses import replace
from pathlib import Path

from salus.cli.actions.ledger import block_at, receipt_of, verify_file, write_file
from salus.cli.demo.cast import Cast
from salus.cli.demo.consenting import gaps, own_record
from salus.cli.demo.kept import Kept, corrected_bytes
from salus.cli.demo.telling import Teller, counted, joined
from salus.cli.drill.liars import alter_entries, flipped, lying_keeper
from salus.cli.home import Home
from salus.core.ids import Height
from salus.core.wire import replace as changed
from salus.crypto.shares import threshold
from salus.node.folder import GENESIS_FILE

RECEIPT_FILE = "grant.receipt"


async def correction(home: Home, cast: Cast, kept: Kept, teller: Teller) -> None:
    """An author corrects its own document; readers get the new one alone."""
    teller.act("A correction")
    found = next((cast.of.correctable[name] for name in cast.authors if name in cast.of.correctable), None)
    if found is None:
        teller.say("No document here has a status that its author could correct, so there is nothing to show.")
        return
    data = corrected_bytes(found)
    new = replace(found.document, data=data, replaces=found.record)
    sealed = await home.member(found.member).author.seal([new])
    kept.corrected(found.record, sealed.records[0], data)
    record = await own_record(home, cast)
    rows = {row.record: row for row in record.rows}
    teller.hold(sealed.records[0] in rows and found.record not in rows, "a reader gets the correction alone")
    teller.hold(len(record.rows) == cast.size, "a correction adds no record and loses none")
    row = rows.get(sealed.records[0])
    what = "" if row is None else f" ({row.summary.what})"
    teller.say(
        f"{found.member} corrects its {found.document.fhir_type}{what}. "
        "The older version stays in the history, and nobody reads it by mistake."
    )


async def liar(home: Home, cast: Cast, teller: Teller) -> None:
    """A keeper answers with shares it was never dealt: the record is whole all the same, and it is named."""
    teller.act("A keeper that lies")
    members = home.simulated.members
    if threshold(len(members)) == len(members):
        teller.say(f"With {counted(len(members), 'member')} every keeper's share is needed, so a liar could withhold.")
        return
    name = next(one.name for one in members if one.name != cast.reader)
    with lying_keeper(
        home.simulated[name], lambda found: alter_entries(found, lambda e: changed(e, share=flipped(e.share)))
    ):
        record = await own_record(home, cast)
    named = sorted({f"{one.member} ({one.what.replace('_', ' ')})" for one in record.accusations})
    teller.hold({one.member for one in record.accusations} == {name}, "the liar is named, and nobody else")
    teller.hold(len(record.rows) == cast.size and not record.gaps, "one liar takes nothing away")
    teller.say(
        f"{name}'s keeper answers with {len(record.accusations)} made-up shares. "
        f"Named by the reader: {joined(named or ['nobody'])}. "
        f"{cast.patient_name} still reads all {counted(len(record.rows), 'record')}, {gaps(record)}."
    )


async def absence(home: Home, cast: Cast, teller: Teller) -> None:
    """A member is away; the record is complete without it."""
    teller.act("A member is down")
    members = home.simulated.members
    if len(members) < 4:
        teller.say(f"With {counted(len(members), 'member')} none may be missing; from four on, one may.")
        return
    away = cast.author
    await home.simulated.take_down(away)
    try:
        record = await own_record(home, cast)
        height = home.network.ledger.height
    finally:
        await home.simulated.bring_back(away)
    signed_by = block_at(home, height).signed_by
    teller.hold(len(record.rows) == cast.size and not record.gaps, "a record is whole without one member")
    teller.hold(away not in signed_by, "a member that is away signs nothing")
    teller.say(
        f"{away} is cut off, with its {cast.of.by_author[away]} records. {cast.patient_name} still reads "
        f"{len(record.rows)} of {cast.size}, {gaps(record)}; the request to read is in block {height}, "
        f"which {joined(list(signed_by))} signed."
    )


async def receipt(home: Home, height: Height, teller: Teller, folder: Path) -> None:
    """The grant, proven from two files."""
    teller.act("A receipt, verified offline")
    tx = next(tx for tx in block_at(home, height).transactions if "cells.advance/1" in tx.messages)
    _, data = await receipt_of(home, tx.tx_id.hex())
    path = folder / RECEIPT_FILE
    write_file(path, data)
    shown = verify_file(path, folder / GENESIS_FILE)
    teller.hold(shown.tx_id == tx.tx_id and shown.code == tx.code, "the receipt proves the grant")
    teller.say(
        f"The grant of act 3 is in block {shown.height}, sponsored by {shown.sponsor}, signed by "
        f"{joined(list(shown.signed_by))}."
    )
    teller.say(f"Checked from {len(data):,} bytes of receipt and the genesis file alone; no network was asked.")

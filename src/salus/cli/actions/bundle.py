"""A record as a FHIR Bundle of type `collection`, with every document byte for byte as its author submitted it."""

from salus.cli.actions.reads import Record, place_of


def bundle_of(record: Record) -> bytes:
    """The bundle; joined as bytes, because to parse and write a document anew would change it (`1.00` to `1.0`)."""
    entries = b",\n".join(
        b'{"fullUrl":"urn:salus:' + place_of(row.record).encode() + b'","resource":' + row.opened.data + b"}"
        for row in record.rows
    )
    return b'{"resourceType":"Bundle","type":"collection","entry":[\n' + entries + b"\n]}\n"

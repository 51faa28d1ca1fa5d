"""No secret and no document shows when a value is printed, as a traceback with locals would."""

from salus.contracts.records.header import RecordId
from salus.core.ids import FhirType, MemberId
from salus.crypto.signatures import SigningKey
from salus.node.keys import DUTIES, load_secrets, make_secrets
from salus.sdk.author import NewDocument
from salus.sdk.author_store import OwnEntry
from salus.sdk.reader import Reader
from salus.sdk.wallet import new_wallet

NAMED = b'{"resourceType":"Patient","name":"Example"}'


def test_no_repr_shows_a_key_or_a_document(tmp_path) -> None:  # type: ignore[no-untyped-def]
    secrets = make_secrets(tmp_path / "keys")
    seeds = [(tmp_path / "keys" / duty).read_bytes() for duty in DUTIES]
    wallet = new_wallet("test", b"c" * 16, "us", (MemberId("mercy"),))  # type: ignore[arg-type]
    values: list[object] = [
        secrets,
        load_secrets(tmp_path / "keys"),
        wallet,
        OwnEntry(index=1, key=b"k" * 32, salt=b"s" * 32, header=NAMED),
        NewDocument(wallet.subject, NAMED, FhirType("Patient"), ("label:PSY",), (), 0, "Patient/1"),
        Reader(SigningKey(seeds[0])),
        RecordId(MemberId("mercy"), b"b" * 16, 1),
    ]
    hidden = [*seeds, wallet.seed, wallet.subject, b"k" * 32, NAMED, b"label:PSY"]
    for value in values:
        shown = repr(value)
        assert not [secret for secret in hidden if repr(secret)[2:-1] in shown or secret.hex() in shown]

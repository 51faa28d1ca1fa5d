"""Preparing files in a worker process: a module that a fresh process imports quickly, for it needs no store or ledger.

What files refer to goes over once, when the worker starts; results come back as one block of bytes each, because
pickling ten thousand small objects would cost the sealing core more than all the rest.
"""

import gc

import msgspec

from salus.fhir.document import Prepared
from salus.fhir.folder import File, prepare_path
from salus.fhir.references import Directory

COLLECT_EVERY = 200_000  # Allocations; documents make millions, hardly one of them in a circle.

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Prepared)
_known = Directory()


def start(directory: Directory) -> None:
    """In a worker, once."""
    global _known
    _known = directory
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 50)


def prepare(file: File) -> bytes:
    """In a worker, for each file."""
    return prepared(_known, file)


def prepared(directory: Directory, file: File) -> bytes:
    """A file, read and prepared, as bytes."""
    return _encoder.encode(prepare_path(file, directory))


def opened(data: bytes) -> Prepared:
    """What a worker prepared."""
    return _decoder.decode(data)

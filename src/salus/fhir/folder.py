"""Read the FHIR files of a folder, one at a time; the only module of this room that touches the disk.

Takes `*.json` and `*.ndjson`, plain or packed (`.gz`, `.xz`). What other files refer to comes first: organisations and
practitioners, and all of NDJSON, where each type has a file of its own. A file that cannot be read is reported, and the
import goes on. Sizes are checked before a file is opened, and again while it is unpacked, so that a bomb stops early.
"""

import errno
import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import msgspec

from salus.core.ids import MIB_BYTES
from salus.fhir.bundle import DEFAULT_LIMITS, Bundle, Limits, read_bundle
from salus.fhir.document import Prepared, prepare
from salus.fhir.errors import DecompressionError, FhirInputError, Problem, TooLargeError, UnreadableFileError
from salus.fhir.references import Directory, directory_of

_SUFFIXES = (".json", ".ndjson")
_PACKED = (".gz", ".xz")
_CHUNK_BYTES = MIB_BYTES
_PATIENT = re.compile(rb'"resourceType"\s*:\s*"Patient"')
_NDJSON_OR_SINGLE = re.compile(rb'\s*\{(?:\s*"resourceType"\s*:\s*"(?!Bundle")|[^\n]*\}[ \t\r]*\n\s*\{)')


class File(msgspec.Struct, frozen=True):
    """One file of an import."""

    path: Path
    name: str  # Relative to the folder: how it is called in problems.


class Survey(msgspec.Struct, frozen=True):
    """What a first look at a folder found."""

    files: tuple[File, ...]  # In the order to import them.
    directory: Directory


def files_of(path: Path) -> tuple[File, ...]:
    """The FHIR files in a folder and its subfolders by name, or the one file given.

    Raises:
        UnreadableFileError: there is no such folder or file, or it may not be read.
    """
    if path.is_file():
        return (File(path, path.name),)
    try:
        found = sorted(each for each in path.rglob("*") if _is_fhir(each))
    except OSError as error:
        raise UnreadableFileError(place="folder", errno=error.errno or 0) from None
    if not path.is_dir():
        raise UnreadableFileError(place="folder", errno=errno.ENOENT)
    return tuple(File(each, str(each.relative_to(path))) for each in found)


def _is_fhir(path: Path) -> bool:
    bare = path.with_suffix("") if path.suffix in _PACKED else path
    is_there = path.is_file() or (path.is_symlink() and not path.exists())  # A link into nothing is a fault to tell of.
    return bare.suffix in _SUFFIXES and not path.name.startswith(".") and is_there


def read_file(path: Path, *, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The bytes of a file, unpacked.

    Raises:
        UnreadableFileError: it cannot be opened or read.
        TooLargeError: it is above the limit, packed or unpacked.
        DecompressionError: it is no such archive, or cut short.
    """
    try:
        size = path.stat().st_size
        if size > limits.file_bytes_max:
            raise TooLargeError(place="file", size_bytes=size, size_bytes_max=limits.file_bytes_max)
        with _opened(path) as stream:
            return _read_bounded(stream, limits.file_bytes_max)
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError):
        raise DecompressionError(place="file") from None
    except OSError as error:
        raise UnreadableFileError(place="file", errno=error.errno or 0) from None


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")


def _read_bounded(stream: IO[bytes], size_bytes_max: int) -> bytes:
    chunks, size = [], 0
    while chunk := stream.read(_CHUNK_BYTES):
        size += len(chunk)
        if size > size_bytes_max:
            raise TooLargeError(place="file", size_bytes=size, size_bytes_max=size_bytes_max)
        chunks.append(chunk)
    return b"".join(chunks)


def survey(path: Path, *, limits: Limits = DEFAULT_LIMITS, known: Directory | None = None) -> Survey:
    """First pass: which files others refer to, and the directory they make.

    Files with faults keep their place in the order; the second pass reports them.
    """
    first: list[File] = []
    rest: list[File] = []

    def bundles() -> Iterator[Bundle]:
        for file in files_of(path):
            bundle = _bundle_for_others(file, limits)
            (rest if bundle is None else first).append(file)
            if bundle is not None:
                yield bundle

    directory = directory_of(bundles(), known)  # Holds one bundle at a time.
    return Survey((*first, *rest), directory)


def _bundle_for_others(file: File, limits: Limits) -> Bundle | None:
    try:
        data = read_file(file.path, limits=limits)
        self_contained = not _NDJSON_OR_SINGLE.match(data) and _PATIENT.search(data)
        return None if self_contained else read_bundle(data, limits=limits)
    except FhirInputError:
        return None


def read_folder(
    path: Path, *, limits: Limits = DEFAULT_LIMITS, known: Directory | None = None
) -> Iterator[tuple[File, Prepared]]:
    """Prepare all files of a folder in order, each as it is reached; a bad one yields its problem alone.

    For workers: take `survey` here and `prepare_path` there.

    Raises:
        UnreadableFileError: the folder itself cannot be read.
    """
    seen = survey(path, limits=limits, known=known)
    for file in seen.files:
        yield file, prepare_path(file, seen.directory, limits)


def prepare_path(file: File, directory: Directory, limits: Limits = DEFAULT_LIMITS) -> Prepared:
    """Read and prepare one file, whatever happens: arguments and result can cross to a worker process."""
    try:
        bundle = read_bundle(read_file(file.path, limits=limits), limits=limits)
    except FhirInputError as error:
        return Prepared((), (), (Problem(file.name, str(error.facts.get("place", "file")), error.code),))
    return prepare(bundle, directory, file=file.name)

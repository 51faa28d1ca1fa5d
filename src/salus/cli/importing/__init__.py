"""Importing FHIR folders: each document to the hospital that wrote it, sealed at the keepers, repeatable.

`run.import_folder` is the whole; `reading` turns files into documents on other cores, `places` says which member an
organisation is, `patients` opens records for new patients and links their writers, `batches` seals.
"""

from salus.cli.importing.report import Imported, ImportReport, Progress, Trouble
from salus.cli.importing.run import import_folder

__all__ = ["ImportReport", "Imported", "Progress", "Trouble", "import_folder"]

"""Reports every code in a folder of FHIR bundles that no sensitivity rule considered, the most frequent first.

    .venv/bin/python -m tools.report_codes FOLDER

Codes alone are printed, with how often they occur: nothing of a patient.
"""

import sys
from pathlib import Path

from salus.core.errors import SalusError
from salus.fhir.bundle import Bundle, read_bundle
from salus.fhir.folder import files_of, read_file
from salus.fhir.labels import report_unconsidered


def bundles(folder: Path) -> list[Bundle]:
    """Every readable bundle of a folder."""
    found: list[Bundle] = []
    for file in files_of(folder):
        try:
            found.append(read_bundle(read_file(file.path)))
        except SalusError as error:
            print(f"passed over one file: {error.code}", file=sys.stderr)
    return found


def main(words: list[str]) -> int:
    """Print the report; 2 for a wrong command line."""
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    counted = report_unconsidered(bundles(Path(words[0])))
    for (system, code), count in counted.most_common():
        print(f"{count:6}  {system}|{code}")
    print(f"{len(counted)} codes that no rule considered")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

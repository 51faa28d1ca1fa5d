"""Write `src/salus/fhir/r4.json` again from HL7's own definitions: `python tests/fhir/make_tables.py`.

Facts only, condensed: which resource types FHIR R4 4.0.1 has, through which elements a resource belongs to a patient
(CompartmentDefinition/patient, each parameter followed to the expression of its SearchParameter), and which element
names always hold a date. A test runs `tables` over the shared definitions and compares.
"""

import json
import os
import re
import tarfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SALUS_TEST_DATA") or ROOT.parent / "shared" / "data")
TARGET = ROOT / "src" / "salus" / "fhir" / "r4.json"
DATE_TYPES = {"date", "dateTime", "instant"}
NUMBER_TYPES = {"integer", "decimal", "positiveInt", "unsignedInt"}  # Never a string in JSON, so never mistaken.
NO_DATE = {"GraphDefinition.start"}  # The one code under a name that holds dates elsewhere; `strict.py` knows it.
# Who a record is about comes before who merely took part in it.
ABOUT = ("patient", "subject", "beneficiary", "individual", "candidate")


def definitions(archive: Path) -> dict[str, dict]:
    """All JSON files of an archive by name."""
    with tarfile.open(archive) as tar:
        return {Path(m.name).name: json.load(tar.extractfile(m)) for m in tar if m.name.endswith(".json")}


def resource_types(files: dict[str, dict]) -> list[str]:
    """Concrete resource types, in order of name."""
    return sorted(
        d["type"]
        for d in files.values()
        if d["resourceType"] == "StructureDefinition"
        and d["kind"] == "resource"
        and not d["abstract"]
        and d.get("derivation") == "specialization"
    )


def expressions(files: dict[str, dict]) -> dict[tuple[str, str], str]:
    """The part of a search parameter's expression that speaks of one type."""
    found = {}
    for d in files.values():
        if d["resourceType"] != "SearchParameter":
            continue
        for base in d.get("base", ()):
            parts = (p.strip(" ()") for p in d.get("expression", "").split("|"))
            mine = [p for p in parts if p.startswith(base + ".")]
            if mine:
                found[base, d["code"]] = "|".join(mine)
    return found


def element_path(expression: str, base: str) -> str:
    """`Account.subject.where(resolve() is Patient)` becomes `subject`; a choice keeps its `Reference` name."""
    plain = re.sub(r"\.where\(.*$", "", expression).strip()
    choice = re.fullmatch(r"(.+?)(?: as |\.as\()Reference\)?", plain)
    return (choice[1] + "Reference" if choice else plain).removeprefix(base + ".").strip(" ()")


def compartment(files: dict[str, dict]) -> dict[str, list[str]]:
    """Element paths through which each type belongs to a patient, the most telling first."""
    known = expressions(files)
    paths: dict[str, list[str]] = {}
    for row in files["CompartmentDefinition-patient.json"]["resource"]:
        found = {
            element_path(part, row["code"])
            for parameter in row.get("param", [])
            for part in known[row["code"], parameter].split("|")
        }
        order = sorted(found, key=lambda path: (ABOUT.index(path) if path in ABOUT else len(ABOUT), path))
        if order:
            paths[row["code"]] = order
    return paths


def date_elements(files: dict[str, dict]) -> list[str]:
    """Names that hold a date, dateTime or instant wherever they occur as a string."""
    types_of = defaultdict(set)
    for d in files.values():
        if d["resourceType"] == "StructureDefinition" and d.get("derivation") != "constraint":
            for element in d["snapshot"]["element"]:
                name = element["path"].split(".")[-1]
                for kind in element.get("type", []) if element["path"] not in NO_DATE else ():
                    code = kind["code"]
                    types_of[name.replace("[x]", code[0].upper() + code[1:])].add(code)
    return sorted(name for name, kinds in types_of.items() if _only_dates(kinds) and name[0].islower())


def _only_dates(kinds: set[str]) -> bool:
    texts = {kind for kind in kinds - NUMBER_TYPES if kind[0].islower()}  # Complex types are objects.
    return bool(texts) and texts <= DATE_TYPES


def tables(files: dict[str, dict]) -> dict[str, object]:
    """The whole table as it is kept."""
    return {
        "source": "HL7 FHIR R4 4.0.1 definitions (hl7.fhir.core, CC0): StructureDefinition, SearchParameter, "
        "CompartmentDefinition/patient; condensed by tests/fhir/make_tables.py",
        "types": resource_types(files),
        "patient_compartment": compartment(files),
        "date_elements": date_elements(files),
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps(tables(definitions(DATA / "fhir-r4-core.tar.xz")), indent=1) + "\n")

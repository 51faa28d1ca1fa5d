"""The packs that come with this version: each jurisdiction's defaults and statute, in force once governance says so."""

from functools import cache
from importlib.resources import files

from salus.contracts.consent import Pack, read_pack

SHIPPED = ("eu", "us")


@cache
def shipped_packs() -> tuple[Pack, ...]:
    """All packs that this version ships."""
    folder = files("salus.contracts.consent") / "packs"
    return tuple(read_pack((folder / f"{place}.json").read_bytes()) for place in SHIPPED)


def shipped_pack(jurisdiction: str) -> Pack:
    """One jurisdiction's pack."""
    return next(pack for pack in shipped_packs() if pack.jurisdiction == jurisdiction)

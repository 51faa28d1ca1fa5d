"""What lies in a network's folder: its genesis, and a folder with keys for every member that lives there.

genesis        what everybody starts from, and what `salus verify` needs
members/…      a folder per member; with a `member.toml` where it runs as processes of its own
people/…       keys of people who act in a demo: clinicians, patients
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import urandom
from pathlib import Path

from salus.contracts.consent import Pack, pack_root, read_pack
from salus.contracts.members.founding import founding
from salus.contracts.members.messages import Endpoints, Genesis
from salus.core.clock import Clock
from salus.core.errors import IntegrityError, RefusalError, SalusError
from salus.core.ids import ChainId, MemberId
from salus.core.wire import decode, encode
from salus.engines.cometbft.config import make_node_key
from salus.engines.cometbft.unit import ENGINE_FOLDER
from salus.node.keys import FolderError, make_secrets, write_secret
from salus.node.settings import system_clock
from salus.node.site import PORTS, SITE_FILE, free_ports, local_site, write_site
from salus.sdk.packs import shipped_packs

USUAL_NAMES = ("mercy", "st-luke", "lakeside", "northgate")
MEMBERS_MAX = 13
GENESIS_FILE = "genesis"
PACKS_FOLDER = "packs"


def usual_names(count: int) -> list[MemberId]:
    """Names for a demo network of this many members."""
    more = [f"hospital-{number}" for number in range(len(USUAL_NAMES) + 1, count + 1)]
    return [MemberId(name) for name in [*USUAL_NAMES[:count], *more]]


class NoNetworkError(RefusalError):
    """The folder holds no network; `salus up` makes one."""

    code = "node.no_network"


class NotANetworkError(IntegrityError):
    """The genesis in the folder is damaged, or is that of another version."""

    code = "node.not_a_network"


def found(
    folder: Path,
    names: Sequence[MemberId],
    *,
    jurisdiction: str = "us",
    chain: str = "",
    clock: Clock = system_clock,
    endpoints: Mapping[MemberId, Endpoints] | None = None,
) -> Genesis:
    """Make a new network: keys for every member, and the genesis that names them.

    Raises:
        FolderError: the folder cannot be written, or holds a network already.
    """
    assert 1 <= len(names) <= MEMBERS_MAX, "A network that one folder founds has 1 to 13 members."
    if (folder / GENESIS_FILE).exists():
        raise FolderError(reason="a network is there already")
    keys = {name: make_secrets(folder / "members" / name / "keys").public for name in names}
    now = clock()
    genesis = founding(
        chain=ChainId(chain or f"salus-{now:x}"),
        time=now,
        keys=keys,
        jurisdiction=jurisdiction,
        packs={pack.jurisdiction: pack_root(pack) for pack in shipped_packs()},
        endpoints=endpoints,
    )
    try:
        write_secret(folder / GENESIS_FILE, encode(genesis))
    except OSError as error:
        raise FolderError(reason=error.strerror or type(error).__name__) from None
    return genesis


def read_genesis(folder: Path) -> Genesis:
    """The genesis of the network in a folder.

    Raises:
        NoNetworkError: there is none.
        NotANetworkError: its genesis cannot be read.
    """
    try:
        return decode(Genesis, (folder / GENESIS_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NoNetworkError from None
    except (OSError, SalusError):
        raise NotANetworkError from None


def packs_in(folder: Path) -> tuple[Pack, ...]:
    """Packs that this folder's members can apply: those of this version, and those proposed here since.

    Raises:
        NotANetworkError: a file among them is no pack.
    """
    try:
        more = [read_pack(path.read_bytes()) for path in sorted((folder / PACKS_FOLDER).glob("*.json"))]
    except (OSError, SalusError):
        raise NotANetworkError from None
    return (*shipped_packs(), *more)


def found_apart(
    folder: Path, names: Sequence[MemberId], *, jurisdiction: str = "us", chain: str = "", clock: Clock = system_clock
) -> Genesis:
    """Make a new network whose members run as processes of their own, all on this machine.

    Raises:
        FolderError: the folder cannot be written, or holds a network already.
    """
    if (folder / GENESIS_FILE).exists():
        raise FolderError(reason="a network is there already")
    ports = free_ports(PORTS * len(names))
    sites = {name: local_site(ports[at * PORTS : (at + 1) * PORTS]) for at, name in enumerate(names)}
    node_ids = {name: make_node_key(member_folder(folder, name) / ENGINE_FOLDER, urandom(32)) for name in names}
    endpoints = {name: sites[name].endpoints(node_ids[name]) for name in names}
    for name, site in sites.items():
        peers = tuple(endpoints[other].engine for other in names if other != name)
        write_site(member_folder(folder, name), replace(site, peers=peers))
    return found(folder, names, jurisdiction=jurisdiction, chain=chain, clock=clock, endpoints=endpoints)


def member_folder(folder: Path, name: MemberId) -> Path:
    """Where a member lies."""
    return folder / "members" / name


def members_here(folder: Path, genesis: Genesis) -> list[MemberId]:
    """Members that live in this folder, the founders in the genesis's order before those that joined."""
    found = {MemberId(path.parent.name) for path in (folder / "members").glob("*/keys") if path.is_dir()}
    founders = [founder.member for founder in genesis.members if founder.member in found]
    return [*founders, *sorted(found - set(founders))]


def is_apart(folder: Path) -> bool:
    """Whether the members of this folder run as processes of their own."""
    return any((folder / "members").glob(f"*/{SITE_FILE}"))

"""A folder with a network in it, opened: what every command, the demo and the stories act on.

    async with Home.open(Path("salus-data")) as home:
        patient = await new_patient(home, ["mercy", "st-luke"])

`home.network` runs; `home.people` knows who is who. What people do is in `actions/`, one module per kind of deed, as
plain functions that take a home and return plain results.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from salus.cli.identity import PatientName, Who
from salus.cli.people import Patient, People, reader_of
from salus.contracts.members.messages import Genesis
from salus.core.ids import MemberId
from salus.node.folder import found, found_apart, is_apart, usual_names
from salus.node.gateway_side import GatewaySide
from salus.node.hosted import Hosted
from salus.node.network import Network
from salus.node.settings import Settings
from salus.sdk.gateway import Gateway
from salus.sdk.reader import Reader

if TYPE_CHECKING:
    from salus.node.gateways import Gateways

MEMBERS = 4


def found_home(folder: Path, members: int = MEMBERS, jurisdiction: str = "us", *, apart: bool = False) -> Genesis:
    """Make a new network of this many members, in one process or each in processes of its own.

    Raises:
        FolderError: the folder cannot be written, or holds a network already.
    """
    return (found_apart if apart else found)(folder, usual_names(members), jurisdiction=jurisdiction)


@dataclass(frozen=True, slots=True)
class Home:
    """A running network and its people."""

    network: Hosted
    people: People

    @staticmethod
    @asynccontextmanager
    async def open(folder: Path, settings: Settings | None = None) -> "AsyncIterator[Home]":
        """Open the network in a folder and let it run until the end of the block.

        Raises:
            NoNetworkError: there is none.
            FolderInUseError: another process has it open.
            UnavailableError: its members run as processes of their own, and they are not up.
        """
        async with _running(folder, settings) as network:
            people = People(network)
            try:
                yield Home(network, people)
            finally:
                people.close()

    @property
    def simulated(self) -> Network:
        """The network, for whoever puts whole members through trouble, as the demo does, on the embedded engine."""
        assert isinstance(self.network, Network), "Only whole members of one process can be taken down or made to lie."
        return self.network

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.network.folder

    def member(self, name: str) -> GatewaySide:
        """A member of the network.

        Raises:
            UnknownMemberError: there is none of this name.
            ElsewhereError: its people act on a machine of their own.
        """
        return self.people.member(name)

    def anyone(self, name: str) -> MemberId:
        """A member of the network, wherever its people act.

        Raises:
            UnknownMemberError: there is none of this name.
        """
        return self.people.anyone(name)

    def patient(self, number: int) -> Patient:
        """A patient, with the rules in force.

        Raises:
            UnknownPatientError: nobody has this number.
        """
        return self.people.patient(number)

    def gateway(self, patient: Patient, via: str | None = None) -> Gateway:
        """The member through which a patient acts: any will do; usually the custodian, else the first writer here."""
        first = self.network.members[0].name
        usual = patient.custodian or next((name for name in patient.writers if name in self.network), first)
        return self.member(via or usual).gateway

    async def reader(self, who: Who, via: str | None = None) -> tuple[GatewaySide, Reader]:
        """A person as one who reads, and the member through which they do.

        Raises:
            UnknownMemberError, UnknownPatientError: there is no such person.
        """
        if isinstance(who, PatientName):
            patient = self.patient(who.number)
            return self.member(self.gateway(patient, via).member), Reader(patient.wallet.device_key())
        return self.member(who.member), reader_of(await self.people.staff(who))


def _running(folder: Path, settings: Settings | None) -> "Network | Gateways":
    """Whole members in this process, or the gateways of members whose other processes run beside it."""
    if not is_apart(folder):
        return Network(folder, settings)
    from salus.node.gateways import Gateways  # With all that speaks to the network.

    return Gateways(folder, settings)

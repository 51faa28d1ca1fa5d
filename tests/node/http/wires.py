"""Members on real sockets of this machine, over a ledger of keys that a test writes by hand."""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from salus.core.clock import Clock
from salus.core.ids import ChainId, MemberId, PublicKey, TimeMs
from salus.core.transport import Door
from salus.core.wire import Record
from salus.crypto.signatures import SigningKey
from salus.node.http.admission import Limits
from salus.node.http.certificates import Own, anchors_of, load_own
from salus.node.http.client import Calling, HttpTransport
from salus.node.http.places import Part
from salus.node.http.server import MEDIA_TYPE, PATH, Server
from salus.node.http.trust import Pins, Trust

CHAIN = ChainId("test")
ANNA, BEN, CLEO = MemberId("anna"), MemberId("ben"), MemberId("cleo")
HOST = "127.0.0.1"


class Question(Record, tag="test.question/1", frozen=True):
    number: int
    data: bytes = b""


class Reply(Record, tag="test.reply/1", frozen=True):
    number: int
    data: bytes = b""


def clock() -> TimeMs:
    return time.time_ns() // 1_000_000


def fresh() -> SigningKey:
    return SigningKey(os.urandom(32))


def as_if_of(own: Own, key: SigningKey, issuer: str | None = None) -> Own:
    """A member's certificate signed anew by another key, and by another issuer's name where one is given."""
    secret = Ed25519PrivateKey.from_private_bytes(key.seed)
    real = x509.load_der_x509_certificate(own.data)
    by = real.issuer if issuer is None else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(real.subject)
        .issuer_name(by)
        .public_key(secret.public_key())
        .serial_number(7)
        .not_valid_before(real.not_valid_before_utc)
        .not_valid_after(real.not_valid_after_utc)
    )
    for extension in real.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(secret, None)
    pem = made.public_bytes(Encoding.PEM) + secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Own(made.public_bytes(Encoding.DER), pem, 0)


class Wire:
    """Three members with keys; whoever is served has a door at `ports`."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.secrets = {name: fresh() for name in (ANNA, BEN, CLEO)}
        self.ledger: dict[MemberId, tuple[PublicKey, ...]] = {
            name: (secret.public,) for name, secret in self.secrets.items()
        }
        self.height = 1
        self.ports: dict[MemberId, int] = {}
        self.asked: list[tuple[MemberId, int]] = []

    def write(self, member: MemberId, *keys: PublicKey) -> None:
        """A block that gives a member these keys; none removes it."""
        self.ledger[member] = keys
        self.height += 1

    @property
    def pins(self) -> Pins:
        return Pins(lambda: tuple(self.ledger), lambda name: self.ledger.get(name, ()), lambda: self.height)

    def trust(self, member: MemberId, key: SigningKey | None = None, now: Clock = clock) -> Trust:
        return Trust(member, key or self.secrets[member], self.pins, now)

    async def serve(
        self,
        member: MemberId,
        answer: object = None,
        limits: Limits | None = None,
        *,
        trust: Trust | None = None,
        chain: ChainId = CHAIN,
        port: int = 0,
        door: Door | None = None,
    ) -> Server:
        """A member's door on a free port, answering questions with their double if nothing else is said."""
        if door is None:
            door = Door()
            door.answer(Question, answer or self.doubled)  # type: ignore[arg-type]
        server = Server(door, chain, trust or self.trust(member), limits)
        await server.start(HOST, port)
        self._stack.push_async_callback(server.stop, 0.1)
        self.ports[member] = server.port
        return server

    def transport(
        self,
        member: MemberId,
        *,
        trust: Trust | None = None,
        chain: ChainId = CHAIN,
        calling: Calling | None = None,
    ) -> HttpTransport:
        """A member's calling end."""
        transport = HttpTransport(member, chain, trust or self.trust(member), self.place, calling or Calling(2.0))
        self._stack.push_async_callback(transport.close)
        return transport

    def place(self, member: MemberId, _part: Part) -> str:
        return f"{HOST}:{self.ports[member]}" if member in self.ports else ""

    async def doubled(self, sender: MemberId, question: Question) -> Reply:
        self.asked.append((sender, question.number))
        return Reply(number=2 * question.number, data=question.data)


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    """Members whose servers and connections are closed afterwards."""
    async with AsyncExitStack() as stack:
        yield Wire(stack)


class Raw:
    """A connection that says what a test writes, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def status(self) -> int:
        """Of the next reply; 0 where the connection ended instead. Its body is read away."""
        return (await self.reply())[0]

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        except (asyncio.IncompleteReadError, OSError):
            return 0, {}, b""
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def is_closed(self, within_s: float = 5.0) -> bool:
        """Whether the other end hangs up in time."""
        try:
            await asyncio.wait_for(self.reader.read(), within_s)
        except TimeoutError:  # An OSError too, so before it.
            return False
        except OSError:
            return True
        return True


@asynccontextmanager
async def raw(port: int, context: ssl.SSLContext | None, name: MemberId | None = BEN) -> AsyncIterator[Raw]:
    """A connection to a port; with no context in plain."""
    reader, writer = await asyncio.open_connection(
        HOST, port, ssl=context, server_hostname=name if context is not None else None
    )
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


def head(member: MemberId = ANNA, length: int | None = 0, key: str | None = None, **changes: str | None) -> bytes:
    """The headers of a request; a change of None leaves a header out."""
    headers: dict[str, str | None] = {
        "host": "ben",
        "content-type": MEDIA_TYPE,
        "salus-chain": CHAIN,
        "salus-member": member,
        "salus-request": key or os.urandom(16).hex(),
        "content-length": None if length is None else str(length),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"POST {PATH} HTTP/1.1", *lines, "", ""]).encode()


def context_of(own: Own | None, *pinned: tuple[MemberId, PublicKey]) -> ssl.SSLContext:
    """A caller's context with any certificate, that asks nothing of the ledger."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=anchors_of(pinned))
    if own is not None:
        load_own(context, own)
    return context

"""JSON as text, and small attachments as bytes: the same ones on every machine and with every Python."""

import json
import struct
import zlib
from decimal import Decimal
from typing import Any

GREY_MAX = 255


def to_json(value: Any, indent: int = 0) -> str:
    """JSON indented by two spaces. A `Decimal` keeps its digits, so `7.10` stays `7.10`."""
    inner, outer = "\n" + "  " * (indent + 1), "\n" + "  " * indent
    match value:
        case dict():
            pairs = [f"{json.dumps(key)}: {to_json(item, indent + 1)}" for key, item in value.items()]
            return "{" + inner + ("," + inner).join(pairs) + outer + "}"
        case list() | tuple():
            items = [to_json(item, indent + 1) for item in value]
            return "[" + inner + ("," + inner).join(items) + outer + "]"
        case Decimal():
            return str(value)
        case bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
    raise TypeError(f"not for a FHIR resource: {type(value).__name__}")


def pdf(lines: list[str]) -> bytes:
    """A PDF of one A4 page with these lines in Helvetica (ISO 32000-1, sections 7.5.1 to 7.5.5). Latin-1 only."""
    escaped = [line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)") for line in lines]
    drawn = "BT /F1 11 Tf 15 TL 56 780 Td\n" + "".join(f"({line}) Tj T*\n" for line in escaped) + "ET\n"
    stream = drawn.encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%sendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    data, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    end = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(data))
    return data + b"xref\n0 %d\n0000000000 65535 f \n" % size + table + end


def png(rows: list[bytes]) -> bytes:
    """A greyscale PNG of these rows (ISO 15948). Stored, not compressed: compressors differ between machines."""
    pixels = b"".join(b"\0" + row for row in rows)
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(pixels), len(pixels) ^ 0xFFFF) + pixels
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", stored + struct.pack(">I", zlib.adler32(pixels))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def retina(size: int) -> list[bytes]:
    """Rows of a drawn eye ground: a disc that darkens outwards, with a bright spot where the nerve leaves."""
    middle, spot, radius = size // 2, size * 2 // 3, size // 2 - 2
    return [bytes(_shade(x, y, middle, spot, radius) for x in range(size)) for y in range(size)]


def _shade(x: int, y: int, middle: int, spot: int, radius: int) -> int:
    out = (x - middle) ** 2 + (y - middle) ** 2
    if out > radius**2:
        return 0
    near = (x - spot) ** 2 + (y - middle) ** 2
    if near < (radius // 6) ** 2:
        return GREY_MAX
    return 170 - 90 * out // radius**2


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

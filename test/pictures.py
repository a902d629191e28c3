"""PNG files larger than they look."""

import struct
import zlib
from collections.abc import Iterator


def png_of_size(width: int, height: int, depth: int = 16, colour: int = 6) -> bytes:
    """A PNG whose header states that size, with few of its rows."""
    return b"".join(chunks(width, height, zlib.compress(bytes(1 << 20), 9), depth, colour))


def bomb() -> bytes:
    """A whole PNG of 12000 x 12000 RGBA in 16 bits, black: a megabyte that decodes to more than one gigabyte."""
    width = height = 12_000
    packer, row = zlib.compressobj(9), bytes(1 + 8 * width)
    rows = b"".join([packer.compress(row) for _ in range(height)] + [packer.flush()])
    return b"".join(chunks(width, height, rows))


def chunks(width: int, height: int, rows: bytes, depth: int = 16, colour: int = 6) -> Iterator[bytes]:
    """The parts of a PNG file."""
    yield b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    for name, data in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        yield struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

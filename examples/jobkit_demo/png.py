"""Writes PNG files (RFC 2083) row by row, with nothing but zlib."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = (8, 2, 0, 0, 0)
"""8 bits a sample, true colour, and the only compression, filter method and interlacing there is any need of."""

_UP = b"\x02"
"""The filter that stores each byte as the difference to the one above."""


def write(file: BinaryIO, width: int, height: int, rows: Iterable[bytes]) -> None:
    """Write a picture of rows of red, green, blue."""
    file.write(SIGNATURE)
    _write_chunk(file, b"IHDR", struct.pack(">II5B", width, height, *_RGB))
    compressor = zlib.compressobj(6)
    above = bytes(3 * width)
    for row in rows:
        difference = bytes([(here - over) & 255 for here, over in zip(row, above, strict=True)])
        if data := compressor.compress(_UP + difference):
            _write_chunk(file, b"IDAT", data)
        above = row
    _write_chunk(file, b"IDAT", compressor.flush())
    _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

"""One request of Kafka's protocol, by hand: who is in the cluster. It is how readiness is told without any client."""

from __future__ import annotations

import socket
import struct
from typing import Final

METADATA: Final = 3

#: The last version without compact fields.
VERSION: Final = 4

ANSWER_TIMEOUT_S: Final = 2.0


class Reader:
    """Takes fields off an answer."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def int32(self) -> int:
        """Return a number."""
        (number,) = struct.unpack_from(">i", self.data, self.at)
        self.at += 4
        return int(number)

    def text(self) -> str | None:
        """Return a nullable text."""
        (length,) = struct.unpack_from(">h", self.data, self.at)
        self.at += 2
        if length < 0:
            return None
        found = self.data[self.at : self.at + length].decode()
        self.at += length
        return found


def receive(connection: socket.socket, count: int) -> bytes:
    """Return exactly so many bytes."""
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the broker closed the connection")
        data += part
    return data


def brokers(port: int) -> dict[int, int]:
    """Return the ports of the brokers in the cluster by their ids, as the broker on this port knows them.

    Raises:
        OSError: It does not answer.
    """
    name = b"readiness"
    body = struct.pack(">hhih", METADATA, VERSION, 1, len(name)) + name + struct.pack(">i?", 0, False)
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_TIMEOUT_S) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", receive(connection, 4))
        reader = Reader(receive(connection, size))
    reader.int32()  # correlation
    reader.int32()  # throttle
    found = {}
    for _ in range(reader.int32()):
        node, _host, node_port, _rack = reader.int32(), reader.text(), reader.int32(), reader.text()
        found[node] = node_port
    return found

"""As much of the Postgres protocol as the demo needs: simple queries over the unix socket.

Its own connection, not psql's, so that the moment at which a COMMIT has returned is known to the microsecond.
"""

import os
import signal
import socket
import struct

# Ctrl-C ends without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)


class PostgresError(Exception):
    """What the server answered."""


class Postgres:
    """A session in the database of the demo, as the owner of the table."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.environ["DEMO_SOCKET"])
        self.stream = self.socket.makefile("rb", 1 << 20)
        names = b"user\0wal2es_admin\0database\0demo\0TimeZone\0UTC\0\0"
        self.socket.sendall(struct.pack("!II", 8 + len(names), 196608) + names)
        for _ in self._answer():
            pass

    def rows(self, sql):
        """The rows of a query as they come, each a list of texts and Nones."""
        query = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!I", 4 + len(query)) + query)
        return self._answer()

    def run(self, sql):
        """All rows; returns when the server is done, after a COMMIT when it is on disk."""
        return list(self.rows(sql))

    def _answer(self):
        error = None
        while True:
            kind, length = struct.unpack("!cI", self._read(5))
            body = self._read(length - 4)
            if kind == b"D":
                yield _fields(body)
            elif kind == b"E":
                error = PostgresError(_message(body))
            elif kind == b"Z":
                break
        if error:
            raise error

    def _read(self, count):
        data = self.stream.read(count)
        if len(data) < count:
            raise PostgresError("the server closed the connection")
        return data


def _fields(body):
    (count,) = struct.unpack_from("!H", body)
    at, fields = 2, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        if length < 0:
            fields.append(None)
        else:
            fields.append(body[at : at + length].decode())
            at += length
    return fields


def _message(body):
    parts = dict((part[:1], part[1:].decode()) for part in body.split(b"\0") if part)
    return f"{parts.get(b'M')} ({parts.get(b'C')})"


def literal(text):
    """`text` quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"

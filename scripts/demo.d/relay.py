"""Stands between connector and search server and notes when each request came and when its answer began.

Prints `PORT WATCH_PORT`. Whoever connects to WATCH_PORT gets a JSON line for each answer: the request's first line, the
beginning of its text, and the two moments by the clock that all processes share.
"""

import json
import selectors
import socket
import sys
import time

from searching import node

HEAD = 4096


class Pair:
    """A connection of the connector and ours to the server."""

    def __init__(self, near):
        self.near, self.far = near, socket.create_connection(node())
        for end in (self.near, self.far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.came, self.head = None, b""

    def forward(self, source, watchers):
        """One piece from either side. False at the end."""
        data = source.recv(1 << 18)
        now = time.monotonic()
        target = self.far if source is self.near else self.near
        if not data:
            return False
        target.sendall(data)
        if source is self.near:
            if self.came is None:
                self.came, self.head = now, b""
            self.head += data[: HEAD - len(self.head)]
        elif self.came is not None:
            text = self.head.decode(errors="replace")
            event = {"request": text.split("\r\n", 1)[0], "text": text, "came": self.came, "answered": now}
            self.came = None
            for watcher in watchers:
                watcher.sendall(json.dumps(event).encode() + b"\n")
        return True

    def close(self):
        self.near.close()
        self.far.close()


def main():
    selector = selectors.DefaultSelector()
    doors = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for door in doors:
        selector.register(door, selectors.EVENT_READ)
    watchers = []
    print(*(door.getsockname()[1] for door in doors))
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            if key.fileobj is doors[1]:
                watchers.append(doors[1].accept()[0])
            elif key.fileobj is doors[0]:
                pair = Pair(doors[0].accept()[0])
                selector.register(pair.near, selectors.EVENT_READ, pair)
                selector.register(pair.far, selectors.EVENT_READ, pair)
            elif key.fileobj.fileno() >= 0:  # not closed by an event of the same round
                try:
                    going_on = key.data.forward(key.fileobj, watchers)
                except OSError:
                    going_on = False
                if not going_on:
                    selector.unregister(key.data.near)
                    selector.unregister(key.data.far)
                    key.data.close()


main()

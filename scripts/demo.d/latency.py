"""How long a row takes on an idle system, against what the search server alone takes for the same.

    latency.py bulk    with the relay between connector and server: commit to the answers to _bulk and _refresh
    latency.py search  without it: commit to found, searching all the time

The floors are one-document requests to a copy of the index, with the same mapping, settings and documents, in turn with
the commits. Each follows right on a COMMIT too, to a table that is not published, so that disk and processors are as
awake as they are for the connector. All times begin when COMMIT has returned to the client, or when the request is sent.
"""

import json
import os
import random
import socket
import statistics
import sys
import time

from postgres import Postgres
from searching import Searcher, node

COMMITS = 100
WARM_UP = 20
# Long enough for the system to be idle: after a refresh the connector leaves the server to others for five times as long.
PAUSE = 0.15
FLOOR = "demo-floor"
BULK_GOAL, SEARCH_GOAL = 3, 5


class Wire:
    """Requests that are ready to be sent, timed to the first byte of the answer."""

    def __init__(self):
        self.socket = socket.create_connection(node())
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def timed(self, path, body=b""):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.monotonic()
        self.socket.sendall(head.encode() + body)
        answer = self.socket.recv(1 << 16)
        took = time.monotonic() - began
        head, rest = answer.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        while len(rest) < length:
            rest += self.socket.recv(1 << 16)
        result = json.loads(rest)
        if b" 200 " not in head or result.get("errors") or result.get("_shards", {}).get("failed"):
            sys.exit(f"  {path}: {rest[:500].decode(errors='replace')}")
        return took * 1000


def copy_index(searcher):
    """The copy for the floors."""
    (index,) = searcher.request("GET", "/place").values()
    settings = index["settings"]["index"]
    for name in ("uuid", "creation_date", "provided_name", "version"):
        settings.pop(name, None)
    index["mappings"].pop("_meta", None)
    searcher.request("PUT", f"/{FLOOR}", {"mappings": index["mappings"], "settings": {"index": settings}})
    body = {"source": {"index": "place", "size": 5000}, "dest": {"index": FLOOR, "version_type": "external"}}
    answer = searcher.request("POST", "/_reindex?refresh=true", body)
    quiet(searcher)
    return answer["total"]


def quiet(searcher):
    """Waits until neither index is merging, a second long; on a busy machine not for ever."""
    since = time.monotonic()
    calm = 0
    while calm < 5 and time.monotonic() - since < 60:
        merges = searcher.request("GET", f"/place,{FLOOR}/_stats/merge")["_all"]["total"]["merges"]["current"]
        calm = 0 if merges else calm + 1
        time.sleep(0.2)


def floor_body(searcher, place):
    """One document as the connector would send it, newer than what is there."""
    source = searcher.request("GET", f"/place/_doc/{place}")["_source"]
    action = {"index": {"_index": FLOOR, "_id": str(place), "version": time.time_ns(), "version_type": "external"}}
    return (json.dumps(action) + "\n" + json.dumps(source, ensure_ascii=False) + "\n").encode()


def p50(times):
    return statistics.median(times)


def p99(times):
    return sorted(times)[max(0, round(len(times) * 0.99) - 1)]


def line(name, times, floor=None, goal=None):
    text = f"  {name:<48} {p50(times):6.1f} {p99(times):7.1f}"
    if floor:
        more = p50(times) - p50(floor)
        text += f"   {more:+6.1f} ms, {p50(times) / p50(floor):4.2f} ×"
        if goal:
            text += f"   {'met' if more <= goal else 'MISSED'}: at most +{goal} ms"
    print(text)


def result(name, value):
    with open(os.environ["DEMO_RESULTS"], "a", encoding="utf-8") as results:
        results.write(f"{name}\t{value}\n")


def bulk(postgres, searcher, places):
    copied = copy_index(searcher)
    print(f"  floors on a copy of the index with {copied:,} documents; {COMMITS} single-row commits in turn with them")
    postgres.run("CREATE TABLE beside AS SELECT 0 AS n")
    wire = Wire()
    events = socket.create_connection(("127.0.0.1", int(os.environ["DEMO_WATCH_PORT"]))).makefile("r", encoding="utf-8")

    def answered(committed, matches):
        for text in events:
            event = json.loads(text)
            if event["answered"] > committed and matches(event):
                return event
        sys.exit("  the relay is gone")

    times = {name: [] for name in ("bulk", "both", "commit", "sent", "bulked", "shown")}
    for turn in range(WARM_UP + COMMITS):
        place = random.choice(places)
        body = floor_body(searcher, place)
        time.sleep(PAUSE)
        postgres.run(f"UPDATE beside SET n = {turn}")
        bulk_took = wire.timed("/_bulk", body)
        refresh_took = wire.timed(f"/{FLOOR}/_refresh")
        time.sleep(PAUSE)
        began = time.monotonic()
        postgres.run(f"UPDATE place SET population = population + 1, changed_at = now() WHERE id = {place}")
        committed = time.monotonic()
        bulked = answered(began, lambda event: "/_bulk" in event["request"] and f'"_id":"{place}"' in event["text"])
        shown = answered(bulked["answered"], lambda event: "/_refresh" in event["request"])
        if turn < WARM_UP:
            continue
        times["bulk"].append(bulk_took)
        times["both"].append(bulk_took + refresh_took)
        times["commit"].append((committed - began) * 1000)
        times["sent"].append((bulked["came"] - committed) * 1000)
        times["bulked"].append((bulked["answered"] - committed) * 1000)
        times["shown"].append((shown["answered"] - committed) * 1000)
    searcher.request("DELETE", f"/{FLOOR}")
    postgres.run("DROP TABLE beside")

    print(f"  {'':<48} p50 ms  p99 ms   over the floor (p50)")
    line("floor: _bulk of one document", times["bulk"])
    line("floor: _bulk, then _refresh", times["both"])
    line("wal2es: commit → _bulk sent", times["sent"])
    line("wal2es: commit → _bulk answered", times["bulked"], times["bulk"], BULK_GOAL)
    line("wal2es: commit → _refresh answered, so searchable", times["shown"], times["both"], SEARCH_GOAL)
    line("(Postgres' own COMMIT, before that)", times["commit"])
    result("commit to bulk answered, p50", f"{p50(times['bulked']):.1f} ms; the server alone {p50(times['bulk']):.1f} ms")
    result("commit to searchable, p50", f"{p50(times['shown']):.1f} ms; the server alone {p50(times['both']):.1f} ms")


def search(postgres, searcher, places):
    """Half as many commits, further apart: searches without end make refreshes slow, and slow ones are followed by a
    longer pause."""
    delays, searches = [], []
    for turn in range((WARM_UP + COMMITS) // 2):
        place = random.choice(places)
        time.sleep(4 * PAUSE)
        ((population,),) = postgres.run(
            f"UPDATE place SET population = population + 1 WHERE id = {place} RETURNING population"
        )
        committed = time.monotonic()
        found = 0
        while not found:
            time.sleep(0.001)
            began = time.monotonic()
            found = searcher.count({"term": {"id": place}}, {"term": {"population": int(population)}})
            searches.append((time.monotonic() - began) * 1000)
        if turn >= WARM_UP // 2:
            delays.append((time.monotonic() - committed) * 1000)
    line("wal2es: commit → found, searching all the time", delays)
    line("(one such search)", searches)
    result("commit to found by a search, p50", f"{p50(delays):.1f} ms")


def main():
    postgres, searcher = Postgres(), Searcher()
    places = [int(row[0]) for row in postgres.run("SELECT id FROM place ORDER BY random() LIMIT 1000")]
    {"bulk": bulk, "search": search}[sys.argv[1]](postgres, searcher, places)


main()

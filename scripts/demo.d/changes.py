"""Changes rows and looks how long each change takes to be found by a search."""

import os
import sys
import time

from postgres import Postgres, literal
from searching import Searcher

PATIENCE = 30


class Demo:
    def __init__(self):
        self.postgres = Postgres()
        self.searcher = Searcher()
        self.delays = []

    def change(self, what, sql, arrived):
        """Commits, then searches without a pause until `arrived()`."""
        self.postgres.run(sql)
        committed = time.monotonic()
        while not arrived():
            if time.monotonic() - committed > PATIENCE:
                sys.exit(f"  {what}: not found by a search within {PATIENCE} s of its commit")
        delay = (time.monotonic() - committed) * 1000
        self.delays.append(delay)
        print(f"  {what:<72} {delay:6.0f} ms")
        time.sleep(0.2)

    def count(self, **terms):
        return self.searcher.count(*({"term": {field.replace("__", "."): value}} for field, value in terms.items()))

    def largest(self, skip):
        """Id, name and population."""
        row = self.postgres.run(f"SELECT id, name, population FROM place ORDER BY population DESC, id LIMIT 1 OFFSET {skip}")[0]
        return int(row[0]), row[1], int(row[2])


def main():
    demo = Demo()
    count = demo.count
    demo.count(id=0)

    place, name, population = demo.largest(0)
    demo.change(
        f"UPDATE: {name} gets one inhabitant more, {population + 1:,}",
        f"UPDATE place SET population = population + 1, changed_at = now() WHERE id = {place}",
        lambda: count(id=place, population=population + 1) == 1,
    )

    place, name, _ = demo.largest(1)
    demo.change(
        f"rename: {name} is called {name} on the Wall",
        f"UPDATE place SET name = {literal(name + ' on the Wall')} WHERE id = {place}",
        lambda: count(name__keyword=f"{name} on the Wall") == 1,
    )

    place, name, _ = demo.largest(2)
    moved = 900_000_000 + place
    demo.change(
        f"key change: {name} moves from id {place} to {moved}",
        f"UPDATE place SET id = {moved} WHERE id = {place}",
        lambda: (count(id=place), count(id=moved)) == (0, 1),
    )

    place, name, _ = demo.largest(3)
    demo.change(
        f"DELETE: {name} is gone",
        f"DELETE FROM place WHERE id = {place}",
        lambda: count(id=place) == 0,
    )

    demo.change(
        "INSERT: Atlantis, with an alternate name",
        "INSERT INTO place (id, name, alternate_names, country, population, latitude, longitude, timezone) VALUES "
        "(800000001, 'Atlantis', '{Ἀτλαντίς}', '--', 0, 31.5, -24.25, 'Atlantic/Azores')",
        lambda: demo.searcher.count({"match": {"alternate_names": "Ἀτλαντίς"}}) == 1,
    )

    (one, first, from_there), (other, second, from_here) = demo.largest(4), demo.largest(5)
    demo.change(
        f"two rows in one transaction: 1,000 people move from {first} to {second}",
        f"BEGIN; UPDATE place SET population = population - 1000 WHERE id = {one}; "
        f"UPDATE place SET population = population + 1000 WHERE id = {other}; COMMIT",
        lambda: (count(id=one, population=from_there - 1000), count(id=other, population=from_here + 1000)) == (1, 1),
    )

    demo.postgres.run("BEGIN; UPDATE place SET timezone = 'never/committed'; ROLLBACK")
    rows = min(10_000, int(demo.postgres.run("SELECT count(*) FROM place")[0][0]))
    demo.change(
        f"{rows:,} rows in one transaction, after one that rolled back",
        f"UPDATE place SET timezone = 'Etc/Demo' WHERE id IN (SELECT id FROM place ORDER BY id LIMIT {rows})",
        lambda: count(timezone__keyword="Etc/Demo") == rows,
    )
    if count(timezone__keyword="never/committed"):
        sys.exit("  a search finds rows of a transaction that rolled back")
    print("  of the transaction that rolled back, searches found nothing")

    single = demo.delays[:-1]
    with open(os.environ["DEMO_RESULTS"], "a", encoding="utf-8") as results:
        results.write(f"change found by a search\t{min(single):.0f} to {max(single):.0f} ms after its commit\n")
        results.write(f"{rows:,} rows in one transaction\tfound {demo.delays[-1]:.0f} ms after their commit\n")


main()

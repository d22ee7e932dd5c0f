"""Writes without a pause until SIGTERM: random inserts, updates, deletes and key changes in transactions of 1 to 20
statements over two connections, one in ten rolled back. Then prints what it did."""

import random
import signal
import threading

from postgres import Postgres

CONNECTIONS = 2
stop = threading.Event()


class Writer(threading.Thread):
    """Has rows of its own, so that the writers do not wait for each other. Never two ids the same."""

    def __init__(self, number, ids):
        super().__init__()
        self.postgres = Postgres()
        self.random = random.Random()
        self.ids = ids
        self.next_id = 1_000_000_000 + 100_000_000 * number
        self.transactions = self.rows = self.rolled_back = 0
        self.error = None

    def run(self):
        try:
            while not stop.is_set():
                self.transaction()
        except Exception as error:  # shown by main
            self.error = error

    def transaction(self):
        """Operations may follow each other on one row, also a delete and an insert."""
        born, gone, statements = [], [], []
        for _ in range(self.random.randint(1, 20)):
            statements.append(self.statement(born, gone))
        if self.random.random() < 0.1:
            self.postgres.run("BEGIN; " + "; ".join(statements) + "; ROLLBACK")
            self.rolled_back += 1
            self.ids.extend(gone)
            return
        self.postgres.run("BEGIN; " + "; ".join(statements) + "; COMMIT")
        self.transactions += 1
        self.rows += len(statements)
        self.ids.extend(born)

    def statement(self, born, gone):
        """One change. `gone` are the rows from before that were touched, `born` those touched that are there now."""
        kind = self.random.random()
        if kind < 0.15 or not self.ids:
            dead = [place for place in gone if place not in born]
            if dead and self.random.random() < 0.3:
                born.append(self.random.choice(dead))
                return self.insert(born[-1])
            return self.insert(self.fresh(born))
        old = self.take(born, gone)
        if kind < 0.25:
            return f"DELETE FROM place WHERE id = {old}"
        if kind < 0.35:
            return f"UPDATE place SET id = {self.fresh(born)} WHERE id = {old}"
        born.append(old)
        number = self.random.randint(1, 40_000_000)
        return f"UPDATE place SET population = {number}, name = 'place {number}', changed_at = now() WHERE id = {old}"

    def insert(self, new):
        return (
            "INSERT INTO place (id, name, alternate_names, country, population, latitude, longitude, timezone) VALUES "
            f"({new}, 'new {new}', '{{neu,новый,新}}', 'XX', {new % 997}, {self.random.uniform(-90, 90)}, "
            f"{self.random.uniform(-180, 180)}, 'UTC')"
        )

    def fresh(self, born):
        self.next_id += 1
        born.append(self.next_id)
        return self.next_id

    def take(self, born, gone):
        """A row that is there now."""
        if born and self.random.random() < 0.2:
            return born.pop(self.random.randrange(len(born)))
        at = self.random.randrange(len(self.ids))
        self.ids[at], self.ids[-1] = self.ids[-1], self.ids[at]
        gone.append(self.ids.pop())
        return gone[-1]


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    ids = [int(row[0]) for row in Postgres().rows("SELECT id FROM place")]
    writers = [Writer(number, ids[number::CONNECTIONS]) for number in range(CONNECTIONS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        while writer.is_alive():
            writer.join(0.2)
        if writer.error:
            raise writer.error
    transactions, rows, rolled_back = (
        sum(getattr(writer, name) for writer in writers) for name in ("transactions", "rows", "rolled_back")
    )
    print(f"{transactions:,} transactions with {rows:,} row changes, {rolled_back:,} more rolled back")


main()

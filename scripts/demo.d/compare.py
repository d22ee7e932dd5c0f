"""Compares table and index row by row: every field of every document, digit by digit. Exit 1 when they differ."""

import hashlib
import json
import os
import sys

from postgres import Postgres
from searching import Searcher

PAGE = 5000
SHOWN = 5


def parse(text):
    return json.loads(text, parse_int=number, parse_float=number)


def number(text):
    return {"number": text}


def digest(document):
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def row_of(text):
    """What Postgres says the document is, but for the one spelling that differs: UTC."""
    row = parse(text)
    row["changed_at"] = row["changed_at"].replace("+00:00", "Z")
    return row


def documents(searcher):
    """All (id, source) that a search finds."""
    page = searcher.request(
        "POST", "/place/_search?scroll=2m", {"size": PAGE, "sort": ["_doc"]}, parse_int=number, parse_float=number
    )
    while page["hits"]["hits"]:
        for hit in page["hits"]["hits"]:
            yield hit["_id"], hit["_source"]
        body = {"scroll": "2m", "scroll_id": page["_scroll_id"]}
        page = searcher.request("POST", "/_search/scroll", body, parse_int=number, parse_float=number)
    searcher.request("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})


def main():
    postgres, searcher = Postgres(), Searcher()
    rows = {key: digest(row_of(text)) for key, text in postgres.rows("SELECT id, row_to_json(place) FROM place")}
    total = len(rows)
    extra, different = [], []
    for key, source in documents(searcher):
        expected = rows.pop(key, None)
        if expected is None:
            extra.append((key, source))
        elif expected != digest(source):
            different.append((key, source))
    print(f"  {len(rows):,} missing, {len(extra):,} extra, {len(different):,} different of {total:,}")
    for key in list(rows)[:SHOWN]:
        print(f"    missing: {key}")
    for key, source in extra[:SHOWN]:
        print(f"    extra: {key}: {json.dumps(source, ensure_ascii=False)}")
    for key, source in different[:SHOWN]:
        ((text,),) = postgres.run(f"SELECT row_to_json(place) FROM place WHERE id = {int(key)}")
        print(f"    different: {key}\n      table {text}\n      index {json.dumps(source, ensure_ascii=False)}")
    with open(os.environ["DEMO_RESULTS"], "a", encoding="utf-8") as results:
        results.write(
            f"table and index at the end\t{len(rows)} missing, {len(extra)} extra, {len(different)} different of {total:,}\n"
        )
    sys.exit(1 if rows or extra or different else 0)


main()

"""Searches by text and by number, with the first hits."""

import time
import unicodedata

from searching import Searcher


def width(text):
    """Columns on a terminal: wide characters take two, combining ones none."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.category(letter) in ("Mn", "Me", "Cf") for letter in text)


def pad(text, columns):
    """`text` filled up with spaces."""
    return text + " " * max(0, columns - width(text))


def show(searcher, title, query, also=None, **more):
    began = time.monotonic()
    hits, total = searcher.hits(query, size=3, **more)
    took = (time.monotonic() - began) * 1000
    print(f"  {title}: {total:,} found in {took:.0f} ms")
    for hit in hits:
        place = hit["_source"]
        known = next((name for name in place["alternate_names"] if also and name.startswith(also)), "")
        where = f"{place['latitude']:8.3f} {place['longitude']:8.3f}"
        print(f"      {pad(place['name'], 24)} {place['country']}  {place['population']:>12,}  {where}  {known}".rstrip())


def main():
    searcher = Searcher()
    largest = [{"population": "desc"}]
    searcher.hits({"match_all": {}})
    show(searcher, "name: san francisco", {"match": {"name": {"query": "san francisco", "operator": "and"}}}, sort=largest)
    show(searcher, "name with a typing error: Reykjavok", {"match": {"name": {"query": "Reykjavok", "fuzziness": 1}}})
    for word in ("東京", "Москва", "القاهرة"):
        query = {"match_phrase": {"alternate_names": word}}
        show(searcher, f"alternate name: {word}", query, also=word, sort=largest)
    show(
        searcher,
        "population from 100,000 to 200,000 in the Netherlands, largest first",
        {
            "bool": {
                "filter": [
                    {"range": {"population": {"gte": 100_000, "lte": 200_000}}},
                    {"term": {"country.keyword": "NL"}},
                ]
            }
        },
        sort=largest,
    )
    show(
        searcher,
        "north of latitude 69, largest first",
        {"range": {"latitude": {"gt": 69}}},
        sort=largest,
    )


main()

"""Prints places as COPY text: places.py CITIES.JSON [ROWS]; with ROWS the most populous ones."""

import json
import signal
import sys

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

# Ctrl-C ends without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)


def array(items):
    """An array literal."""
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items if item)
    return "{" + ",".join(f'"{item}"' for item in quoted) + "}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        places = list(json.load(file).values())
    places.sort(key=lambda place: -place["population"])
    if len(sys.argv) > 2:
        places = places[: int(sys.argv[2])]
    sys.stdout.reconfigure(encoding="utf-8")
    for place in places:
        fields = (
            place["geonameid"],
            place["name"],
            array(place["alternatenames"]),
            place["countrycode"],
            place["admin1code"] or None,
            place["population"],
            place["latitude"],
            place["longitude"],
            place["timezone"],
        )
        print("\t".join("\\N" if field is None else str(field).translate(ESCAPES) for field in fields))


main()

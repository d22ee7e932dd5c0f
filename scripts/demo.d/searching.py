"""The search server, over one connection that is kept."""

import http.client
import json
import os
import signal
import urllib.parse

# Ctrl-C ends without a traceback.
signal.signal(signal.SIGINT, signal.SIG_DFL)


class SearchError(Exception):
    """What the server answered."""


def node():
    """Host and port."""
    url = urllib.parse.urlsplit(os.environ["DEMO_TARGET"])
    return url.hostname, url.port


class Searcher:
    """One connection."""

    def __init__(self, timeout=120):
        self.connection = http.client.HTTPConnection(*node(), timeout=timeout)

    def request(self, method, path, body=None, **parse):
        """The answer as JSON; `parse` goes to json.loads."""
        data = None if body is None else json.dumps(body).encode()
        self.connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SearchError(f"{method} {path}: {answer.status} {text[:500].decode(errors='replace')}")
        return json.loads(text, **parse)

    def hits(self, query, size=5, **more):
        """Documents, and how many there are in all."""
        body = {"query": query, "size": size, "track_total_hits": True, **more}
        found = self.request("POST", "/place/_search", body)["hits"]
        return found["hits"], found["total"]["value"]

    def count(self, *conditions):
        """How many documents a search finds that fulfil all conditions."""
        body = {"size": 0, "track_total_hits": True, "query": {"bool": {"filter": list(conditions)}}}
        path = "/place/_search?filter_path=hits.total.value&request_cache=false"
        return self.request("POST", path, body)["hits"]["total"]["value"]

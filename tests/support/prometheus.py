"""Asking for metrics, and reading Prometheus's text format 0.0.4 strictly."""
import http.client
import re

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
SERIES = re.compile(r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>[^\n]*)\})? (?P<value>\S+)")
TYPES = ("counter", "gauge", "histogram")
SECONDS = 30


def ask(port, path="/metrics", method="GET", host="127.0.0.1", source=None):
    """(status, headers, body) of one request."""
    connection = http.client.HTTPConnection(host, port, timeout=SECONDS,
                                            source_address=(source, 0) if source else None)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def labels_of(text):
    labels, at = {}, 0
    while text and at < len(text):
        found = LABEL.match(text, at)
        assert found, f"no label at {text[at:]!r}"
        assert found[1] not in labels, text
        labels[found[1]] = re.sub(r"\\(.)", lambda one: {"n": "\n"}.get(one[1], one[1]), found[2])
        at = found.end()
        assert at == len(text) or text[at] == ",", text
        at += 1
    return labels


class Metrics:
    """What one answer says: every line must be what the format allows, and no series twice."""

    def __init__(self, text):
        assert text.endswith("\n")
        self.types, self.helps, self.series, self.text = {}, {}, {}, text
        for line in text[:-1].split("\n"):
            self._take(line)

    def _take(self, line):
        words = line.split(" ", 3)
        if words[0] == "#":
            assert words[1] in ("HELP", "TYPE") and NAME.fullmatch(words[2]), line
            known = self.helps if words[1] == "HELP" else self.types
            assert words[2] not in known, line
            known[words[2]] = words[3]
            return
        found = SERIES.fullmatch(line)
        assert found, line
        name = found["name"]
        declared = name if name in self.types else re.sub("_(bucket|sum|count)$", "", name)
        assert self.types[declared] in TYPES and self.helps[declared], line
        assert declared == name or self.types[declared] == "histogram", line
        key = name, frozenset(labels_of(found["labels"]).items())
        assert key not in self.series, line
        self.series[key] = float(found["value"])

    def get(self, name, **labels):
        """None: there is no such series."""
        return self.series.get((name, frozenset(labels.items())))

    def all(self, name):
        """{labels: value}, the labels as a dict's items."""
        return {labels: value for (named, labels), value in self.series.items() if named == name}


def metrics(port, **options):
    status, headers, text = ask(port, **options)
    assert status == 200, text
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(text)

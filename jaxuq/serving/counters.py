"""What a server counts, as text for Prometheus."""

import threading

_HELP = {
    "requests_total": ("counter", "Requests answered, by path and status."),
    "request_seconds_total": ("counter", "Seconds from the head of a request to the end of its answer, by path."),
    "prompt_tokens_total": ("counter", "Tokens read."),
    "generated_tokens_total": ("counter", "Tokens generated."),
    "abandoned_total": ("counter", "Requests whose client left before the answer ended."),
    "requests_running": ("gauge", "Requests that the model works at."),
    "requests_waiting": ("gauge", "Requests that wait for it."),
}


class Counters:
    """Numbers by name and labels; labels are of few values, never a client's words."""

    def __init__(self):
        self._values: dict[tuple[str, str], int | float] = {}
        self._lock = threading.Lock()

    def add(self, name: str, value: int | float = 1, **labels: object) -> None:
        """Count.

        Args:
            name: of `_HELP`.
            value: to add.
            labels: such as the path.
        """
        shown = ",".join(f'{label}="{one}"' for label, one in labels.items())
        with self._lock:
            self._values[name, shown] = self._values.get((name, shown), 0) + value

    def text(self, **gauges: int | float) -> str:
        """All of it.

        Args:
            gauges: numbers of this moment.

        Returns:
            Lines of Prometheus' text format.

        Example:
            >>> counters = Counters()
            >>> counters.add("requests_total", path="/health", status=200)
            >>> print(counters.text().splitlines()[2])
            jaxuq_requests_total{path="/health",status="200"} 1
        """
        with self._lock:
            values = dict(self._values)
        values |= {(name, ""): value for name, value in gauges.items()}
        lines = []
        for name, (kind, about) in _HELP.items():
            lines += [f"# HELP jaxuq_{name} {about}", f"# TYPE jaxuq_{name} {kind}"]
            series = sorted(labels for one, labels in values if one == name) or ([] if kind == "gauge" else [""])
            for labels in series:
                lines.append(f"jaxuq_{name}{'{' + labels + '}' if labels else ''} {values.get((name, labels), 0):g}")
        return "\n".join(lines) + "\n"

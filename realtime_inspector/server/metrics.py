"""Counts what happens in plain integers and shows them to Prometheus when it asks."""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

PREFIX: Final = "realtime_inspector_"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


class Count:
    """A number that only grows. Whoever counts adds to `value`; nothing else happens until somebody asks."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Metrics(Collector):
    """The figures of one service; each is read from where it is kept at the moment of the request."""

    def __init__(self) -> None:
        self._figures: list[Callable[[], Metric]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def counter(self, name: str, documentation: str) -> Count:
        """A new counter `realtime_inspector_NAME_total`."""
        count = Count()
        self._figures.append(lambda: CounterMetricFamily(PREFIX + name, documentation, value=count.value))
        return count

    def counters(self, name: str, documentation: str, label: str, read: Callable[[], Iterable[tuple[str, float]]]) -> None:
        """Counters `realtime_inspector_NAME_total` that somebody else keeps, one for each value of a label."""

        def family() -> Metric:
            metric = CounterMetricFamily(PREFIX + name, documentation, labels=[label])
            for value, number in read():
                metric.add_metric([value], number)
            return metric

        self._figures.append(family)

    def gauge(self, name: str, documentation: str, read: Callable[[], float]) -> None:
        """A figure `realtime_inspector_NAME` that goes up and down."""
        self._figures.append(lambda: GaugeMetricFamily(PREFIX + name, documentation, value=read()))

    def collect(self) -> Iterable[Metric]:
        """What prometheus-client asks a collector."""
        return [figure() for figure in self._figures]

    def render(self) -> bytes:
        """All figures in Prometheus' text form."""
        return generate_latest(self._registry)

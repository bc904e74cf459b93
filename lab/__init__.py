"""Looking and comparing: probes, measures, figures and the leak meter, with no widget and no page at their core."""

# Before torch is loaded: it decides how waiting threads wait.
import strawberry  # noqa: F401
from lab.probe import Probe, probe
from lab.report import report

__all__ = ["Probe", "probe", "report"]

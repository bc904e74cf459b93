"""Looking and comparing: probes, measures, figures and the leak meter, with no widget and no page at their core."""

from lab.probe import Probe, probe

__all__ = ["Probe", "probe"]

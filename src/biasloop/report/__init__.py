"""A run as one HTML file that opens offline, with figures as PNG and a machine-readable summary."""

from biasloop.report.write import write_report

__all__ = ["write_report"]

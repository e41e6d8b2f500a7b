"""What the proof (`tests/proof/`) has run and reached is printed at the end of the session, from every process."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Under xdist properties come with the reports of the workers."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    texts = [text for each in reports for name, text in getattr(each, "user_properties", ()) if name == "proof"]
    if texts:
        terminalreporter.section("proof: how often each fault struck, and while the connection was what")
        for text in dict.fromkeys(texts):
            terminalreporter.write_line(str(text))

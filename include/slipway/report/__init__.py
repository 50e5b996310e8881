"""A candidate's report: one HTML file for people, and the same as JSON for scripts, sealed under one manifest."""

from slipway.report.finding import find_report, report_of_run, reports_of
from slipway.report.reading import page_of, read_document, read_page
from slipway.report.writing import Reported, write

__all__ = ["Reported", "find_report", "page_of", "read_document", "read_page", "report_of_run", "reports_of", "write"]

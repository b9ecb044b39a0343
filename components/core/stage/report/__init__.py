"""Self-contained HTML reports: the page and its parts in `page`, figures for light and dark in `figures`."""

from components.core.stage.report.figures import figure_axes
from components.core.stage.report.page import STYLE, Report, breakable, csv_text, histogram, page

__all__ = ["STYLE", "Report", "breakable", "csv_text", "figure_axes", "histogram", "page"]

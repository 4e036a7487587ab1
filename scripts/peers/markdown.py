"""Cells and tables in Markdown."""

NOTHING = "–"


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def times(spread):
    """`2.10x (2.01-2.20)`."""
    if spread is None:
        return NOTHING
    at_least = "≥ " if spread.at_least else ""
    middle = f"{at_least}**{spread.median:.2f}x**"
    return middle if spread.count == 1 else f"{middle} ({spread.least:.2f}-{spread.most:.2f})"


def cell(rates, ratios):
    if rates is None:
        return NOTHING
    at_least = "≥ " if rates.at_least else ""
    text = f"{at_least}{number(rates.median)}"
    return text if ratios is None else f"{text}, {times(ratios)}"


def grid(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]

"""Elements of SVG pictures, for the charts of the dashboard and those in the docs."""

from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr


class Picture:
    """An SVG document, built from elements. All text is escaped.

    The `kind` of an element is its class in style sheets.
    """

    def __init__(self) -> None:
        self._elements: list[str] = []

    def text(
        self, x: float, y: float, text: str, *, kind: str = "", anchor: str = "start"
    ) -> None:
        """Add a line of text; `y` is its base line."""
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Add a line of the grid."""
        self._elements.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            ' class="grid"/>'
        )

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: str
    ) -> None:
        """Add a rectangle that is filled with a colour."""
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' fill="{fill}"/>'
        )

    def bar(
        self, x: float, y: float, width: float, height: float, *, kind: str, tip: str
    ) -> None:
        """Add a rectangle with a text that appears when the mouse is over it."""
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' class="{kind}"><title>{escape(tip)}</title></rect>'
        )

    def curve(
        self, points: Sequence[tuple[float, float]], *, stroke: str, dashed: bool
    ) -> None:
        """Add straight lines that connect points."""
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 3"' if dashed else ""
        self._elements.append(
            f'<polyline points="{joined}" class="curve" stroke="{stroke}"{dashes}/>'
        )

    def steps(self, heights: Iterable[int], *, base: int, kind: str) -> None:
        """Add an area below steps of width 1; `base` is the y of its lower edge."""
        path, last, x = f"M0,{base}", 0, 0
        for height in heights:
            if height != last:
                path += f"H{x}V{base - height}"
                last = height
            x += 1
        self._elements.append(f'<path d="{path}H{x}V{base}Z" class="{kind}"/>')

    def svg(self, *, width: float, height: float, title: str, style: str) -> str:
        """Return a document with a style sheet of its own."""
        head = (
            '<svg xmlns="http://www.w3.org/2000/svg"'
            f' viewBox="0 0 {width} {height:.0f}"'
            f' role="img" aria-label={quoteattr(title)}>'
        )
        return "\n".join([head, f"<style>{style}</style>", *self._elements, "</svg>\n"])

    def stretched(self, *, width: int, height: int, title: str) -> str:
        """Return an element of a page, which the style sheet of the page stretches."""
        head = (
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none"'
            f' role="img" aria-label={quoteattr(title)}>'
        )
        return "".join([head, *self._elements, "</svg>"])

"""The colours of figures and report. Imports no matplotlib, which the report does not need."""

from __future__ import annotations

# Okabe and Ito (2008): distinguishable under every common colour blindness; its yellow is too light for lines.
OKABE_ITO = {
    "grey": "#8a8a8a", "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "blue": "#0072B2",
    "vermillion": "#D55E00", "purple": "#CC79A7",
}  # fmt: skip
# For methods whose config entry names none, in this order; the darker ones are of Tol's "muted" scheme
CYCLE = [
    *(OKABE_ITO[name] for name in ("orange", "green", "sky", "purple", "blue", "vermillion")),
    *("#332288", "#882255", "#999933"),
]
VERDICTS = {
    "reproduced": OKABE_ITO["green"],
    "contradicted": OKABE_ITO["vermillion"],
    "inconclusive": OKABE_ITO["grey"],
    "depends on learning rate": OKABE_ITO["orange"],
    "not tested": "#b8b8b8",
}

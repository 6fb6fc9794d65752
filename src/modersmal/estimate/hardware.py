"""A small table of how fast machines train, for want of a rehearsal: one number each.

Only that of a CPU was measured (docs/benchmarks.md, "One training step" and "Time to a WER": 0.13
TFLOP/s with whisper-small's size and 0.09 with the bundled base's, on two cores). Those of GPUs are
assumed: from what others report of whisper-small (a V100 at 29 TFLOP/s, an A100 at 33 while it
waited for its loader, a free T4 at 2 to 4 with everything counted), and from peaks where nobody
does. So the truth is only believed to lie within `factor` of them.
"""

import re
from dataclasses import dataclass, replace

from modersmal.errors import RecipeError, nearest

_FULL_WIDTH = 768  # of whisper-small; narrower models keep a GPU less busy


@dataclass(frozen=True)
class Hardware:
    """What a machine does: `train_flops` a second, of those that training needs.

    `pattern` finds it in what its driver calls it. `cores` read and decode audio.
    """

    name: str
    pattern: str
    train_flops: float
    factor: float
    cores: int
    is_gpu: bool = True

    def flops(self, width: int) -> float:
        """What it does of a model so wide, in floating-point operations a second."""
        return self.train_flops * (min(1.0, width / _FULL_WIDTH) if self.is_gpu else 1.0)


_A_CORE = 0.06e12
_TABLE = (
    Hardware("T4", r"\bT4\b", 6e12, 2.5, cores=2),
    Hardware("P100", r"\bP100\b", 5e12, 2.5, cores=4),
    Hardware("V100", r"\bV100\b", 25e12, 2.0, cores=8),
    Hardware("L4", r"\bL4\b", 15e12, 2.5, cores=8),
    Hardware("A10", r"\bA10G?\b", 20e12, 2.5, cores=4),
    Hardware("L40S", r"\bL40S\b", 50e12, 2.5, cores=8),
    Hardware("A100", r"\bA100\b", 60e12, 2.5, cores=8),
    Hardware("H100", r"\bH100\b", 120e12, 2.5, cores=8),
    Hardware("CPU", r", (\d+) cores?$", 2 * _A_CORE, 1.8, cores=2, is_gpu=False),
)


def known() -> list[str]:
    """Names that `named` takes."""
    return [one.name for one in _TABLE]


def named(name: str) -> Hardware:
    """That which a person names, in any case. Raises RecipeError, saying what there is."""
    for one in _TABLE:
        if one.name.lower() == name.lower():
            return one
    raise RecipeError(
        f"no speed is known of {name!r}{nearest(name.upper(), known())}; there are "
        f"{', '.join(known())}; of any other machine, `modersmal run RECIPE --rehearse` there tells"
    )


def called(name: str) -> Hardware | None:
    """That which a driver calls so ("1 × Tesla T4"); None where the table lacks it."""
    for one in _TABLE:
        if found := re.search(one.pattern, name):
            if one.is_gpu:
                return one
            cores = int(found[1])
            return replace(one, train_flops=_A_CORE * cores, cores=cores)
    return None

from pathlib import Path

import numpy as np
import pytest
from matplotlib import _pylab_helpers

from lab.figures import FAMILIES, save
from protocols import __all__ as plan_names


def test_every_plan_has_a_picture_of_its_own():
    assert set(FAMILIES) == set(plan_names)


def test_pictures_are_files_and_leave_no_global_state(stored, tmp_path):
    points = [{"drive": drive, "mean": np.tanh(drive), "variance": 1.0} for drive in np.linspace(-2, 2, 9)]
    run = stored("activation_curve", {"primary": points}, plan_args={"stiffness": [1, 0, 1]})
    path = save(run, tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert save(run, tmp_path / "figure.svg").stat().st_size > 1000
    assert _pylab_helpers.Gcf.figs == {}
    with pytest.raises(ValueError, match="not supported"):
        save(run, tmp_path / "figure.xyz")
    with pytest.raises(OSError, match="No such file"):
        save(run, Path(tmp_path / "nosuch" / "figure.png"))

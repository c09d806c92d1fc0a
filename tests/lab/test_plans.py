import inspect
import subprocess
import sys

import pytest

from lab.plans import UnknownPlanError, load_plan, plan_names, summarise_plans


def test_every_plan_is_summarised_as_it_is_written():
    summaries = {summary.name: summary for summary in summarise_plans()}
    assert list(summaries) == plan_names()
    for name, summary in summaries.items():
        plan = load_plan(name)
        assert summary.summary == (inspect.getdoc(plan) or "").splitlines()[0]
        parameters = inspect.signature(plan).parameters.values()
        assert list(summary.devices) == [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert [option.partition(":")[0] for option in summary.options] == [
            p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ("md", "continued")
        ]


def test_an_unknown_plan_is_refused_with_the_known_ones():
    with pytest.raises(UnknownPlanError, match="activation_curve"):
        load_plan("nosuch")


def test_listing_imports_no_heavy_library():
    program = (
        "import sys; from lab.plans import summarise_plans; assert summarise_plans();"
        "print([name for name in ('bluesky', 'numpy', 'numba', 'xarray', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"

"""Plans: generators of messages that measure and train with devices seen through their ports."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

FAMILIES = {
    "activation_curve": "characterisation",
    "charge_stability": "dot_transport",
    "coulomb_diamonds": "dot_transport",
    "dark_counts": "photon_characterisation",
    "determinant": "determinants",
    "evaluate": "evaluation",
    "invert_matrix": "linear_algebra",
    "learn_gate": "gate_learning",
    "learn_kernel": "kernel_learning",
    "loss_curve": "evaluation",
    "matrix_exponential": "linear_algebra",
    "photon_kernel": "photon_characterisation",
    "pinch_off": "dot_transport",
    "qpc_trace": "charge_sensing",
    "switch_curve": "switches",
    "switching_times": "switches",
    "train_genetic": "genetic_training",
    "train_in_situ": "in_situ_training",
    "train_model_based": "model_training",
    "trajectory": "characterisation",
    "transfer": "model_transfer",
}
"""In which module each plan is."""

__all__ = [
    "activation_curve",
    "charge_stability",
    "coulomb_diamonds",
    "dark_counts",
    "determinant",
    "evaluate",
    "invert_matrix",
    "learn_gate",
    "learn_kernel",
    "loss_curve",
    "matrix_exponential",
    "photon_kernel",
    "pinch_off",
    "qpc_trace",
    "switch_curve",
    "switching_times",
    "train_genetic",
    "train_in_situ",
    "train_model_based",
    "trajectory",
    "transfer",
]


def __getattr__(name: str) -> Callable[..., Any]:
    """Import a plan when it is asked for: a list of the plans costs nothing."""
    if name in FAMILIES:
        plan = getattr(import_module(f"protocols.{FAMILIES[name]}"), name)
        globals()[name] = plan
        return plan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

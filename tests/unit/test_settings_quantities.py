"""Kubernetes quantities: refused and accepted strings, and their amounts."""

from decimal import Decimal

import pytest

from stacks.settings.load import load_settings
from stacks.settings.quantities import quantity
from tests.environments import Mistakes, WriteEnvironment

BUILD = "runners.default.build"


@pytest.mark.parametrize("cpu", ["0", 0, "-1", -1, "0.0001", 0.0001, "0.5m", "1,5", "1e3", "1k", "", "1 "])
def test_a_malformed_cpu_is_refused(mistakes: Mistakes, cpu: object) -> None:
    """Zero, a negative number, and fractions below a thousandth are refused."""
    (line,) = mistakes({f"{BUILD}.cpu_request": cpu})
    assert line.startswith(f"example.yaml: {BUILD}.cpu_request: ")
    assert 'must be a CPU quantity above zero in steps of 1m, such as "500m", "1" or "1.5" (vCPU)' in line


@pytest.mark.parametrize("memory", ["4GB", "4gi", "4 Gi", "-1Gi", "4K", 0, 4, "100m", "1023Ki", "1e9", ""])
def test_a_malformed_memory_is_refused(mistakes: Mistakes, memory: object) -> None:
    """GB is no suffix of Kubernetes, and a plain 4 would mean 4 bytes."""
    (line,) = mistakes({f"{BUILD}.memory_request": memory})
    assert line.startswith(f"example.yaml: {BUILD}.memory_request: ")
    assert 'must be a byte quantity of 1Mi or more, such as "512Mi", "4Gi" or "1.5G" (not "GB")' in line


def test_true_is_no_quantity(mistakes: Mistakes) -> None:
    """Python would read it as 1."""
    (line,) = mistakes({f"{BUILD}.cpu_request": True})
    assert line.startswith(f"example.yaml: {BUILD}.cpu_request: true: must be a string")


@pytest.mark.parametrize("cpu", ["1m", "0.001", "1.5", 1, 1.5, "16", "16000m"])
def test_the_least_and_the_most_cpu_pass(write_environment: WriteEnvironment, cpu: object) -> None:
    """With and without quotes; a request may equal its maximum, which is 16."""
    settings = load_settings(write_environment({f"{BUILD}.cpu_request": cpu}))
    assert settings.runners["default"].build.cpu_request == str(cpu)


@pytest.mark.parametrize("memory", ["1Mi", "1024Ki", "0.5Gi", "1.5G", "16Gi", 17179869184])
def test_the_least_and_the_most_memory_pass(write_environment: WriteEnvironment, memory: object) -> None:
    """Binary and decimal suffixes, and bytes; a request may equal its maximum, which is 16Gi."""
    settings = load_settings(write_environment({f"{BUILD}.memory_request": memory}))
    assert settings.runners["default"].build.memory_request == str(memory)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("1Ki", "1024"),
        ("1k", "1000"),
        ("1.5Gi", "1610612736"),
        ("1E", "1e18"),
    ],
)
def test_quantities_have_kubernetes_amounts(text: str, amount: str) -> None:
    """`m`, decimal and binary suffixes mean what Kubernetes says."""
    assert quantity(text) == Decimal(amount)

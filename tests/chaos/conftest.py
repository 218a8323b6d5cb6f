"""The fixtures of the emulator's tests that the tests of chaos use too."""

from tests.emulator.conftest import aws_reattach

__all__ = ["aws_reattach"]

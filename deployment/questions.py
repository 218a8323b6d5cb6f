"""Questions to the user, on the terminal."""

import sys

from stacks.errors import UserError


class AnswerError(UserError):
    """The user said no, or there is no terminal to ask on."""


def require_terminal(command: str, *, assume_yes: bool, advice: str = "") -> None:
    """Refuse a command that asks questions if there is no terminal to answer them.

    Raises:
        AnswerError: If there is no terminal, and the option --yes is not given.

    """
    if not assume_yes and not sys.stdin.isatty():
        raise AnswerError(
            f"{command} asks questions, and there is no terminal to answer them. The option --yes answers "
            f"each with yes.{advice}"
        )


def ask(question: str) -> str:
    """Return the answer to a question; empty at the end of the input."""
    try:
        return input(f"{question} ").strip()
    except EOFError:
        print()
        return ""

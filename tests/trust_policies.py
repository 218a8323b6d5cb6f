"""Read the trust policies in docs/pipeline.md."""

import json
import re
from typing import Any

from stacks.settings.load import PROJECT

ACCOUNT = "123456789012"  # as in docs/pipeline.md


def trust_policies() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the trust of the role for plans, and of the role that applies."""
    text = (PROJECT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    plan, apply = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    return plan, apply

"""Write a fixture of AWS provider 6.x: the arguments and attributes of the types that the stacks use.

The source are bindings of that version, as a wheel (`pip download --no-deps`): cdktf-cdktf-provider-aws
21.22.1 is AWS provider 6.25.0, cdktn-provider-aws 25.8.1 is 6.69.1. Their jsii assembly has every argument,
and says which are required. tests/unit/test_aws_provider_6.py compares the stacks with the fixtures.

Run `python -m tools.generate_aws_arguments WHEEL TYPE...`, with types as Terraform writes them, such as
`aws_vpc`, `data.aws_vpc`, `ephemeral.aws_ssm_parameter` and `provider`.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from stacks.settings.load import PROJECT

FIXTURES = PROJECT / "tests" / "fixtures" / "aws_provider"
_STRUCT = re.compile(r'"@cdkt[fn]/provider-aws\.(\w+\.\w+)"')

Tree = dict[str, Any]


class _Bindings:
    """The jsii assembly of bindings: classes and structs with their properties."""

    def __init__(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as files:
            (archive,) = (name for name in files.namelist() if name.endswith(".tgz"))
            with tarfile.open(fileobj=io.BytesIO(files.read(archive))) as package:
                assembly = package.extractfile("package/.jsii")
                assert assembly  # noqa: S101 - every jsii package has it
                text = assembly.read().decode()
        self._types = {
            name.partition("provider-aws.")[2]: about for name, about in json.loads(text)["types"].items()
        }
        (self.version,) = set(re.findall(r"providers/hashicorp/aws/([\d.]+)/", text))

    def describe(self, kind: str) -> dict[str, Tree]:
        """Return arguments and attributes of a type; an argument that is required ends with `!`."""
        words = kind.rsplit(".", maxsplit=1)[-1].split("_")
        prefix = {"data": "data_aws_", "ephemeral": "ephemeral_aws_"}.get(kind.partition(".")[0], "")
        module = _camel(prefix + "_".join(words[1:] or words))
        (name,) = (
            name
            for name, about in self._types.items()
            if name.startswith(f"{module}.") and "Terraform" in about.get("base", "")
        )
        return {"arguments": self._arguments(f"{name}Config"), "attributes": self._attributes(name)}

    def _properties(self, name: str) -> dict[str, Any]:
        return {item["name"]: item for item in self._types.get(name, {}).get("properties", [])}

    def _arguments(self, struct: str) -> Tree:
        return {
            _snake(name) + ("" if about.get("optional") else "!"): (
                self._arguments(inner) if (inner := _struct(about)) else {}
            )
            for name, about in self._properties(struct).items()
        }

    def _attributes(self, name: str) -> Tree:
        return {
            _snake(field): self._attributes(f"{inner}OutputReference") if (inner := _struct(about)) else {}
            for field, about in self._properties(name).items()
            if not field.endswith("Input") and not about.get("static") and field not in _CDKTF
        }


# Properties of every class that are cdktf's own.
_CDKTF = {"internalValue", "fqn", "isEmptyObject", "rawOverrides", "terraformGeneratorMetadata", "node"}


def _struct(about: dict[str, Any]) -> str:
    """Return the struct in the type of a property; empty if it has none."""
    found = _STRUCT.search(json.dumps(about["type"]))
    return re.sub(r"(List|Map|OutputReference)$", "", found[1]) if found else ""


def _camel(snake: str) -> str:
    return re.sub(r"_(\w)", lambda found: found[1].upper(), snake)


def _snake(camel: str) -> str:
    if camel == "selfAttribute":  # `self` is a word of the language
        return "self"
    return re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", camel)


def main(arguments: list[str]) -> None:
    """Write the fixture of one wheel."""
    wheel, *types = arguments
    bindings = _Bindings(Path(wheel))
    described = {kind: bindings.describe(kind) for kind in sorted(types)}
    text = json.dumps(described, indent=None, separators=(",", ":")).replace('},"', '},\n"')
    (FIXTURES / f"{bindings.version}.json").write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Write docs/settings.md and docs/outputs.md: `python -m tools.generate_docs`.

Intent: the models' own descriptions are the documentation, so that the two can't disagree.
Not here: any fact about a setting (stacks/settings) or an output (the stacks' Outputs dataclasses).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from deployment.consumer_policy import consumer_policy
from stacks.backend import Backend, read_backend
from stacks.cluster import ClusterOutputs
from stacks.network import NetworkOutputs
from stacks.settings import Settings
from stacks.settings.aws import AwsSettings
from stacks.settings.cluster import ClusterSettings
from stacks.settings.executor import AffinitySettings, ExecutorSettings
from stacks.settings.load import PROJECT
from stacks.settings.network import ExistingNetworkSettings, NetworkSettings
from stacks.settings.node_groups import NodeGroupSettings, TaintSettings
from stacks.settings.runners import AutoscalerSettings, ContainerResources, RunnerSettings
from stacks.workloads import WorkloadsOutputs

NOTE = "<!-- Made by `python -m tools.generate_docs` from the models' descriptions. Change those. -->\n"
OUTPUTS = {"network": NetworkOutputs, "cluster": ClusterOutputs, "workloads": WorkloadsOutputs}

ACCESS = """\
## Access

Who reads the state of a stack needs this IAM policy and no more. The project prints it for any stacks,
without credentials:

```sh
make consumer-policy ENV=example STACKS="network cluster" > policy.json
```

```json
{policy}
```

It allows to read the states of these stacks and to see whether they are there; not to write, to lock, or to
read any other state. A state holds more than its outputs: every attribute of the stack's resources. It holds
no runner token.

A consumer in another account assumes a role in the bucket's account that has this policy (`assume_role` in
the configuration of `terraform_remote_state`): the policy of its own account is not enough there.

Terraform says `Unable to find remote state` of a stack that is not deployed yet. S3 may call such a state
forbidden instead. This tells the two apart: it lists nothing if the state is missing, and says `AccessDenied`
if it is forbidden.

```sh
aws s3api list-objects-v2 --bucket {bucket} --prefix example/network.tfstate
```
"""

# Section → its model and an example that changes environments/example.yaml at the section's path.
SECTIONS: dict[str, tuple[type[BaseModel], str]] = {
    "The whole file": (
        Settings,
        """\
protect_running_jobs: false
""",
    ),
    "aws": (
        AwsSettings,
        """\
aws:
  region: eu-central-1
  account_id: "123456789012"
  tags:
    project: cicd
""",
    ),
    "network": (
        NetworkSettings,
        """\
network:
  cidr: 10.20.0.0/16
  availability_zones: [eu-central-1a, eu-central-1b]
  nat_gateways: one_per_zone
""",
    ),
    "network.existing": (
        ExistingNetworkSettings,
        """\
network:
  availability_zones: [eu-central-1a, eu-central-1b]
  existing:
    vpc_id: vpc-0123456789abcdef0
    private_subnet_ids: [subnet-0a00000000000000a, subnet-0a00000000000000b]
    public_subnet_ids: [subnet-0b00000000000000a, subnet-0b00000000000000b]
""",
    ),
    "cluster": (
        ClusterSettings,
        """\
cluster:
  name: cicd
  kubernetes_version: "1.35"
  endpoint_public_access_cidrs: [203.0.113.0/24]
  admin_principal_arns: [arn:aws:iam::123456789012:role/admin]
  node_groups:
    main:
      instance_types: [m5.2xlarge]
      min_size: 1
      max_size: 10
""",
    ),
    "cluster.node_groups.&lt;name&gt;": (
        NodeGroupSettings,
        """\
cluster:
  node_groups:
    arm:
      ami_type: AL2023_ARM_64_STANDARD
      instance_types: [m7g.4xlarge]
      capacity_type: SPOT
      max_size: 5
      labels:
        team: mobile
      taints:
        - key: arm
          effect: NO_SCHEDULE
""",
    ),
    "cluster.node_groups.&lt;name&gt;.taints": (
        TaintSettings,
        """\
cluster:
  node_groups:
    gpu:
      instance_types: [g4dn.xlarge]
      max_size: 2
      taints:
        - key: gpu
          effect: NO_SCHEDULE
""",
    ),
    "autoscaler": (
        AutoscalerSettings,
        """\
autoscaler:
  scale_down_unneeded_time: 30m
""",
    ),
    "runners.&lt;name&gt;": (
        RunnerSettings,
        """\
runners:
  mobile:
    token_parameter: /cicd/runners/mobile/token
    concurrent: 20
    privileged: false
""",
    ),
    "runners.&lt;name&gt;.kubernetes": (
        ExecutorSettings,
        """\
runners:
  default:
    kubernetes:
      pull_policy: [always, if-not-present]
      volumes:
        empty_dir:
          - name: scratch
            mount_path: /scratch
            medium: Memory
""",
    ),
    "runners.&lt;name&gt;.kubernetes.affinity": (
        AffinitySettings,
        """\
runners:
  default:
    kubernetes:
      affinity:
        pod_anti_affinity:
          preferred_during_scheduling_ignored_during_execution:
            - weight: 100
              pod_affinity_term:
                topology_key: topology.kubernetes.io/zone
                label_selector:
                  match_labels:
                    gitlab-runner-fleet: default
""",
    ),
    "runners.&lt;name&gt;.build, helper, service": (
        ContainerResources,
        """\
runners:
  default:
    build:
      cpu_request: "2"
      cpu_request_overwrite_max_allowed: "8"
      memory_request: 8Gi
      memory_limit: 16Gi
""",
    ),
}


def settings_page() -> str:
    """Return docs/settings.md: one section for each part of the settings."""
    parts = [NOTE, "# Settings\n", "An environment is a file `environments/<name>.yaml` with these keys."]
    parts += ["A key without a default must be there; an unknown key is an error.\n"]
    for title, (model, example) in SECTIONS.items():
        rows = [
            (f"`{name}`", _kind(field.annotation), _default(field.get_default()), field.description or "")
            for name, field in model.model_fields.items()
            if (model, name) != (Settings, "environment")  # the file's name, not a key
        ]
        table = _table("setting", "type", "default", "description", rows=rows)
        parts += [f"## {title}\n", f"{model.__doc__}\n", *table]
        parts += ["", f"```yaml\n{example}```\n"]
    return "\n".join(parts)


def outputs_page(backend: Backend) -> str:
    """Return docs/outputs.md: what each stack publishes, and how another Terraform project reads it."""
    arguments = backend.model_dump(include={"bucket", "region"})
    parts = [NOTE, "# Outputs\n", "What each stack publishes in its remote state. Names are an interface:"]
    parts += ["they stay. Another Terraform project reads them like this (`example` is the environment):\n"]
    for stack, outputs in OUTPUTS.items():
        rows = [
            (f"`{item.name}`", _kind(item.type), item.metadata["description"]) for item in fields(outputs)
        ]
        config = {**arguments, "key": f"example/{stack}.tfstate"}
        width = max(map(len, config))
        lines = [f"    {name.ljust(width)} = {json.dumps(value)}" for name, value in config.items()]
        parts += [f"## {stack}\n", *_table("output", "type", "description", rows=rows)]
        parts += [
            "",
            f'```hcl\ndata "terraform_remote_state" "{stack}" {{',
            '  backend = "s3"',
            "  config = {",
        ]
        parts += [*lines, "  }\n}\n"]
        reference = f"data.terraform_remote_state.{stack}.outputs.{fields(outputs)[0].name}"
        parts += [f'output "example_{stack}" {{\n  value = {reference}\n}}\n```\n']
    policy = json.dumps(consumer_policy("example", backend, ["network", "cluster"]), indent=2)
    return "\n".join([*parts, ACCESS.format(policy=policy, bucket=backend.bucket)])


def _cell(text: str) -> str:
    """Return a text for a table: a bar would end its cell, and a bracket outside of code begin a tag."""
    parts = text.split("`")
    parts[::2] = [part.replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts).replace("|", "&#124;")


def _table(*head: str, rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _kind(kind: Any) -> str:
    """Return a type in a YAML writer's words."""
    origin, arguments = get_origin(kind), [item for item in get_args(kind) if item not in (type(None), ...)]
    words = {str: "text", int: "whole number", bool: "true or false", Any: "any value"}
    if origin is dict:
        names = _kind(arguments[0])
        return f"mapping of {'names' if names == 'text' else names} to {_kind(arguments[-1])}"
    if origin in (tuple, list):
        return f"list of {_kind(arguments[-1])}"
    if arguments and all(isinstance(item, str | int) for item in arguments):
        return ", ".join(f"`{item}`" for item in arguments)
    if arguments:  # optional or annotated
        return _kind(arguments[0])
    return words.get(kind, "section" if isinstance(kind, type) and issubclass(kind, BaseModel) else "text")


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        return f"`{json.dumps(value.model_dump(exclude_defaults=True))}`"
    text = "" if value is PydanticUndefined else json.dumps(value)
    return "none" if value is None else f"`{text}`" if text else "required"


def pages() -> dict[Path, str]:
    """Return each generated file and what it holds."""
    return {
        PROJECT / "docs" / "settings.md": settings_page(),
        PROJECT / "docs" / "outputs.md": outputs_page(read_backend(PROJECT / "backend.tf.json")),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")

"""Other versions of running software: Kubernetes, add-ons, charts, images, databases."""

from collections.abc import Iterator

from plan_review.chart_values import read_keys
from plan_review.findings import Category, Finding
from plan_review.plan import Change
from plan_review.values import Difference

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "aws_eks_cluster": ("version",),
    "aws_eks_node_group": ("version", "release_version", "ami_type", "launch_template"),
    "aws_eks_addon": ("addon_version",),
    "helm_release": ("chart", "version"),
    "aws_launch_template": ("image_id",),
    "aws_launch_configuration": ("image_id",),
    "aws_instance": ("ami",),
    "aws_lambda_function": ("runtime",),
}
# The name that databases, caches, brokers and search have for it.
_EVERY_TYPE = ("engine_version",)
# Keys of a chart's values, and of GitLab Runner's TOML, that name an image or a version.
IMAGE_KEYS = frozenset({"tag", "image", "helper_image", "version", "appVersion"})
# A control plane can't go back to an older version by Terraform (Amazon EKS, "Rollback cluster to
# previous Kubernetes version").
_IRREVERSIBLE = frozenset({"aws_eks_cluster"})


def find(change: Change) -> Iterator[Finding]:
    """Yield the finding of a resource that gets another version."""
    if change.action not in ("update", "replace"):
        return
    watched = (*ATTRIBUTES.get(change.type, ()), *_EVERY_TYPE)
    items = [
        item
        for item in change.differences
        if item.path.split("[")[0] in watched and item.before is not None and _is_version(item)
    ]
    if change.type == "helm_release":
        items += _find_images(change)
    if items:
        final = change.type in _IRREVERSIBLE and change.action == "update"
        yield Finding(
            Category.VERSION,
            needs_approval=final,
            address=change.address,
            text="gets another version" + (", and Terraform can't go back" if final else ""),
            differences=tuple(items),
        )


def _is_version(item: Difference) -> bool:
    """Return whether an attribute is a version, not the ID or the name of a launch template."""
    return "." not in item.path or item.path.endswith(".version")


def _find_images(change: Change) -> Iterator[Difference]:
    """Yield the images and versions in a chart's values that differ."""
    old, new = map(read_keys, change.get("values"))
    for path, (key, value) in old.items():
        after = new.get(path, ("", None))[1]
        if key in IMAGE_KEYS and value is not None and value != after:
            yield Difference(f"values: {path}", value, after)

"""Resource identities: the names by which Terraform 1.12 and newer knows an object, beside its state.

`identities` in schema.json has those of the real providers (helm 3.1.2: IdentitySchema of helm_release;
kubernetes 3.2.1: resourceidentity.go). LimitRange, ResourceQuota, PodDisruptionBudget and PriorityClass have
none.
"""

from typing import Any

from local_aws.rehearsal.planning import State

Identity = dict[str, Any]


def describe(identities: dict[str, Identity]) -> dict[str, Any]:
    """Return the schema of each resource type's identity, as fields of the protocol's message."""
    return {
        kind: {
            "version": identity["version"],
            "identity_attributes": [
                {"name": name, "type": '"string"', f"{mode}_for_import": True}
                for mode in ("required", "optional")
                for name in identity[mode]
            ],
        }
        for kind, identity in identities.items()
    }


def identify(identity: Identity, key: str) -> State:
    """Return the identity of the object with this key, which is `namespace/name` or `name`."""
    namespace, _, name = key.rpartition("/")
    values = {"namespace": namespace, "name": name, "release_name": name, **identity["fixed"]}
    return {name: values[name] for name in (*identity["required"], *identity["optional"])}


def find_key(given: State) -> str:
    """Return the key of the object that an `import` block names by its identity."""
    name = given.get("name") or given["release_name"]
    # A release without a namespace is in `default`; a Kubernetes object with one always names it.
    namespace = given.get("namespace") or ("default" if "release_name" in given else "")
    return f"{namespace}/{name}" if namespace else str(name)

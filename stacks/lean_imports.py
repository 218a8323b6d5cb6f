"""Load only the provider submodules in use.

`import cdktf_cdktf_provider_aws.vpc` runs the package's `__init__`, which imports all of its about
1,500 submodules. This takes most of the time of a synth (`make bench` measures it on this machine).
So `sys.modules` gets a bare package module first, which has only a `__path__`: Python then imports the
requested submodule alone. The synthesized JSON is byte-identical.

Set `LEAN_IMPORTS=0` in the environment to import the packages in the ordinary way.
"""

import importlib.util
import os
import sys
from types import ModuleType

PROVIDER_PACKAGES = (
    "cdktf_cdktf_provider_aws",
    "cdktf_cdktf_provider_helm",
    "cdktf_cdktf_provider_kubernetes",
)


def import_only_used_submodules() -> None:
    """Register the provider packages without running their `__init__`, unless already imported."""
    if os.environ.get("LEAN_IMPORTS") == "0":
        return
    for name in PROVIDER_PACKAGES:
        spec = importlib.util.find_spec(name)
        if name in sys.modules or spec is None or spec.submodule_search_locations is None:
            continue
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[name] = package

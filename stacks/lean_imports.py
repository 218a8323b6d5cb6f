"""Load only the provider modules in use.

`import cdktf_cdktf_provider_aws.vpc` runs the package's `__init__`, which imports all of its about
1,500 submodules. jsii then loads the package's 1,500 JavaScript modules into Node.js. Both take most of
the time of a synth (`make bench` measures it on this machine).

In Python, `sys.modules` gets a bare package module first, which has only a `__path__`: Python then imports
the requested submodule alone. In Node.js, lean_modules.cjs chooses the index of the package that loads a
module at its first use. The synthesized JSON is byte-identical.

The packages check the arguments of each call, and evaluate the type hints of the called method for that. Here
the hints of a method are evaluated once: that saves a tenth of the processor time of a synth.

Set `LEAN_IMPORTS=0` in the environment to load the packages in the ordinary way.
"""

import functools
import importlib.util
import json
import os
import sys
import typing
from pathlib import Path
from types import ModuleType

PROVIDER_PACKAGES = (
    "cdktf_cdktf_provider_aws",
    "cdktf_cdktf_provider_helm",
    "cdktf_cdktf_provider_kubernetes",
)


# A name in double quotes, with backslashes escaped, is the form that NODE_OPTIONS takes.
_REQUIRE = f"--require {json.dumps(str(Path(__file__).with_name('lean_modules.cjs')), ensure_ascii=False)}"


def ordinary_node_options() -> str:
    """Return the variable NODE_OPTIONS of this process without what `load_only_used_modules` adds."""
    return os.environ.get("NODE_OPTIONS", "").replace(_REQUIRE, "").strip()


def load_only_used_modules() -> None:
    """Prepare Python and Node.js, unless they have already loaded the provider packages."""
    # A process that has loaded the stacks passes its variables on to this one.
    options = ordinary_node_options()
    lean = os.environ.get("LEAN_IMPORTS") != "0"
    os.environ["NODE_OPTIONS"] = f"{options} {_REQUIRE}".strip() if lean else options
    if not lean:
        return
    _remember_type_hints()
    for name in PROVIDER_PACKAGES:
        spec = importlib.util.find_spec(name)
        if name in sys.modules or spec is None or spec.submodule_search_locations is None:
            continue
        package = ModuleType(name)
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules[name] = package


def _remember_type_hints() -> None:
    """Evaluate the type hints of each function once, if jsii has generated it for a check of arguments.

    Other callers of `typing.get_type_hints` get what they got before.
    """
    evaluate = typing.get_type_hints
    remember = functools.cache(evaluate)

    @functools.wraps(evaluate)
    def get_type_hints(
        obj: typing.Any, *arguments: typing.Any, **options: typing.Any
    ) -> dict[str, typing.Any]:
        if getattr(obj, "__name__", "").startswith("_typecheckingstub__"):
            return remember(obj)
        return evaluate(obj, *arguments, **options)

    typing.get_type_hints = get_type_hints

"""Settings in, three stacks out.

`cdktf` runs this file; `ENV` names the environment (a file under environments/, default: local).
"""

import argparse
import json
import os
import re
import shutil
import sys

from stacks.backend import (
    find_output_folder,
    forget_other_environments,
    forget_other_versions,
    read_backend,
)
from stacks.errors import UserError
from stacks.settings.load import PROJECT, load_environment

NODE_SYSTEM_ERROR = re.compile(r"(Error: )?E[A-Z]+: ")  # ENOSPC: no space left on device, …


def main() -> None:
    """Synthesize the environment that `ENV` names; one line on standard error for each mistake."""
    argparse.ArgumentParser(
        description="Write the Terraform JSON of the three stacks of one environment.",
        epilog="ENV names the environment, a file under environments/ (default: local). CDKTF_OUTDIR names "
        "the folder to write to (default: cdktf.out).",
    ).parse_args()
    try:
        settings = load_environment(os.environ.get("ENV"))
        backend = read_backend(PROJECT / "backend.tf.json")
    except UserError as error:
        sys.exit(str(error))
    output = find_output_folder()

    node = os.environ.get("JSII_NODE") or "node"  # jsii reads this variable
    if shutil.which(node) is None:
        sys.exit(f"{node}: not found. Node.js 20 or newer must be on the PATH")

    # cdktf and the provider packages take seconds to import; a mistake above is told before that.
    from cdktf import App  # noqa: PLC0415

    from stacks.app import build  # noqa: PLC0415

    app = App(outdir=str(output))
    build(app, settings, backend)
    app.synth()
    forget_other_environments(output, is_local=settings.aws.is_local)
    forget_other_versions(output)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (OSError, RuntimeError) as error:
        # cdktf runs in Node.js: a full disk, or a folder that can't be written to, comes as its RuntimeError.
        if isinstance(error, RuntimeError) and not NODE_SYSTEM_ERROR.match(str(error)):
            raise
        sys.exit(f"the synthesis failed: {error}")
    except json.JSONDecodeError:
        # jsii reads the end of Node.js as a broken message. At a Ctrl-C Node.js can end before Python does.
        print("the synthesis failed: Node.js has ended", file=sys.stderr, flush=True)
        os._exit(1)  # at an ordinary exit jsii would write to Node.js, and print a traceback

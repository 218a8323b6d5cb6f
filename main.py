"""Settings in, three stacks out.

`cdktf` runs this file; `ENV` names the environment (a file under environments/, default: local).
"""

import argparse
import os
import sys

from stacks.backend import (
    find_output_folder,
    forget_other_environments,
    forget_other_versions,
    read_backend,
)
from stacks.errors import UserError
from stacks.settings.load import PROJECT, load_environment


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

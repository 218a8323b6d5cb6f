"""Run the real Terraform, and note the command in the file that TERRAFORM_COMMANDS names.

The program `terraform` beside this file runs it. It passes signals on, as Terraform would have got them.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

here = Path(__file__).parent.resolve()
path = os.pathsep.join(
    folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder).resolve() != here
)
terraform = shutil.which("terraform", path=path)
if not terraform:
    sys.exit("terraform: not on the PATH")
started = time.monotonic()
process = subprocess.Popen([terraform, *sys.argv[1:]])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: process.send_signal(number))
status = process.wait()
used = resource.getrusage(resource.RUSAGE_CHILDREN)
note = {
    "test": os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0],
    "stack": Path.cwd().name,
    "command": next((word for word in sys.argv[1:] if not word.startswith("-")), ""),
    "seconds": round(time.monotonic() - started, 2),
    "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
}
with Path(os.environ["TERRAFORM_COMMANDS"]).open("a", encoding="utf-8") as notes:
    notes.write(json.dumps(note) + "\n")
sys.exit(status if status >= 0 else 128 - status)

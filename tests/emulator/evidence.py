"""Where the runner token of a project's copy may be found, and where it is."""

from tests.chaos.secret_places import Evidence, Kinds, read_files, read_versions
from tests.chaos.secret_search import Searcher, Secret
from tests.emulator.project import Project

TOKEN = "runner token"
# The record stands for the cluster itself, where the token belongs.
ALLOWED = {("record of the stand-ins", TOKEN)}


def search(project: Project) -> Evidence:
    """Search every version of a state, and every file that commands have written."""
    # Only the beginning of a token for the Kubernetes API is known: the rest is a signature.
    cluster_token = Secret("token for the Kubernetes API", "k8s-aws-v1.aHR0c", halves=False)
    evidence = Evidence(Searcher((Secret(TOKEN, project.token), cluster_token)))
    evidence.add_all(read_versions(project.client("s3"), project.state_bucket))
    kinds = Kinds(project.folder, project.folder / ".work" / "temporary")
    for name in (".work", "cdktf.out", "plans"):
        evidence.add_all(read_files(project.folder / name, kinds))
    evidence.add("output of commands", "commands.log", (project.folder / "commands.log").read_bytes())
    return evidence

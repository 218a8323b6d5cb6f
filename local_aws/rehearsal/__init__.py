"""Stand-in helm and kubernetes providers: rehearse a Terraform stack where there is no Kubernetes.

Intent: real Terraform plans and applies the real configuration; only the two providers behind it are
stand-ins, served by this process. They keep what would be in the cluster in one private file, the record.
Rehearsed, not deployed. Not here: anything about this project's stacks. Nothing in stacks/ knows of this
package either.

Flow: session (two sockets) -> provider (the protocol) -> planning (what would change) -> cluster, release
(what changes) -> record (the file). schema.json is data, written by generate.
"""

from local_aws.rehearsal.record import read
from local_aws.rehearsal.session import running

__all__ = ["read", "running"]

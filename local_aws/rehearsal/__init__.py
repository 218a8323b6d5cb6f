"""Stand-in helm and kubernetes providers: rehearse a Terraform stack without Kubernetes.

Real Terraform plans and applies the real configuration. The stand-ins write the objects to a private file,
the record, and not to a cluster: rehearsed, not deployed. This package knows nothing of the project's stacks.

session.py serves provider.py, which speaks Terraform's protocol. planning.py plans each change by
schema.json, which generate.py has written. cluster.py and release.py carry the change out in record.py.
"""

from local_aws.rehearsal.record import read, remove
from local_aws.rehearsal.session import running

__all__ = ["read", "remove", "running"]

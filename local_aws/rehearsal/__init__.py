"""Stand-in helm and kubernetes providers: rehearse a Terraform stack without Kubernetes.

Real Terraform plans and applies the real configuration. The stand-ins write the objects to a private file,
the record, and not to a cluster: rehearsed, not deployed. This package knows nothing of the project's stacks.

session.py serves provider.py, which speaks Terraform's protocol. planning.py plans each change by
schema.json, which generate.py has written. cluster.py and release.py carry the change out in record.py.
identities.py names the objects for Terraform 1.12 and newer; faults.py lets operations fail half-way.
"""

from local_aws.rehearsal.record import read, remove
from local_aws.rehearsal.session import running

__all__ = ["read", "remove", "running"]

"""The permissions boundary and the path of every IAM role of a stack.

Intent: an aspect visits each role when the stack is synthesized, so that no role can be without them,
whichever file makes it.
"""

import jsii
from cdktf import IAspect
from cdktf_cdktf_provider_aws.iam_role import IamRole
from constructs import IConstruct


@jsii.implements(IAspect)
class RoleSettings:
    """Sets the permissions boundary and the path of each role."""

    def __init__(self, *, permissions_boundary_arn: str | None, path: str | None) -> None:
        """Keep what each role gets."""
        self._permissions_boundary_arn = permissions_boundary_arn
        self._path = path

    def visit(self, node: IConstruct) -> None:
        """Set both, if the construct is a role."""
        if isinstance(node, IamRole):
            if self._permissions_boundary_arn:
                node.permissions_boundary = self._permissions_boundary_arn
            if self._path:
                node.path = self._path

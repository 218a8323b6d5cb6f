"""The settings that a platform team adds: rules of its accounts, keys, logs and private ways to AWS."""

from typing import Any

from stacks.settings.network import ENDPOINTS_OF_NODES

BOUNDARY = "arn:aws:iam::aws:policy/PowerUserAccess"

SECRETS_KEY = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
VOLUMES_KEY = "arn:aws:kms:eu-central-1:123456789012:key/mrk-0123456789abcdef0123456789abcdef"
CREDENTIAL = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:ecr-pullthroughcache/hub-a1B2c3"

PLATFORM_SETTINGS: dict[str, Any] = {
    "aws.permissions_boundary_arn": BOUNDARY,
    "aws.role_path": "/cicd/",
    "network.flow_logs": {"traffic": "REJECT", "retention_days": 90},
    "network.interface_endpoints": list(ENDPOINTS_OF_NODES),
    "cluster.secrets_key_arn": SECRETS_KEY,
    "cluster.volumes_key_arn": VOLUMES_KEY,
    "cluster.docker_hub_credential_arn": CREDENTIAL,
    "cluster.warm_ip_target": 2,
    "cluster.minimum_ip_target": 12,
    "cluster.node_repair": True,
    "cluster.node_monitoring_agent": True,
    "cluster.node_groups.main.disk_iops": 6000,
    "cluster.node_groups.main.disk_throughput_mib_per_second": 500,
    "runners.default.private_egress_cidrs": ["10.20.0.0/16"],
}

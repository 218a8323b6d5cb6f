"""Network and cluster: applied by cdktf and real Terraform, looked at through the emulated AWS."""

import json
from typing import Any

from stacks import STACKS
from tests.emulator.project import Project


def test_state_lies_in_s3_under_a_key_per_stack(deployed_by_cdktf: Project) -> None:
    """Another project finds each stack's state where `<environment>/<stack>.tfstate` says."""
    objects = deployed_by_cdktf.client("s3").list_objects_v2(Bucket=deployed_by_cdktf.state_bucket)[
        "Contents"
    ]
    assert {item["Key"] for item in objects} == {f"local/{stack}.tfstate" for stack in STACKS}


def test_aws_holds_the_configured_network(deployed_by_cdktf: Project) -> None:
    """VPC and subnets exist with the ranges and zones of the settings."""
    outputs, ec2 = deployed_by_cdktf.outputs("network"), deployed_by_cdktf.client("ec2")
    vpc = ec2.describe_vpcs(VpcIds=[outputs["vpc_id"]])["Vpcs"][0]
    subnets = ec2.describe_subnets(SubnetIds=outputs["private_subnet_ids"])["Subnets"]
    network = deployed_by_cdktf.settings.network
    assert vpc["CidrBlock"] == str(network.cidr)
    assert {subnet["AvailabilityZone"]: subnet["CidrBlock"] for subnet in subnets} == {
        zone: str(network.private_subnet(index)) for index, zone in enumerate(network.availability_zones)
    }


def test_private_subnets_reach_the_internet_by_nat(deployed_by_cdktf: Project) -> None:
    """Each private route table sends everything else to a NAT gateway that is there."""
    outputs, ec2 = deployed_by_cdktf.outputs("network"), deployed_by_cdktf.client("ec2")
    gateways = {item["NatGatewayId"] for item in ec2.describe_nat_gateways()["NatGateways"]}
    tables = ec2.describe_route_tables(RouteTableIds=outputs["private_route_table_ids"])["RouteTables"]
    defaults = [
        route["NatGatewayId"]
        for table in tables
        for route in table["Routes"]
        if route.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]
    assert len(defaults) == len(deployed_by_cdktf.settings.network.availability_zones)
    assert set(defaults) <= gateways


def test_aws_holds_the_configured_cluster(deployed_by_cdktf: Project) -> None:
    """Version, endpoint access, encryption, authentication and logs are those of the settings."""
    settings = deployed_by_cdktf.settings.cluster
    cluster = deployed_by_cdktf.client("eks").describe_cluster(name=settings.name)["cluster"]
    vpc = cluster["resourcesVpcConfig"]
    assert cluster["version"] == settings.kubernetes_version
    assert cluster["accessConfig"]["authenticationMode"] == "API"
    assert cluster["encryptionConfig"][0]["resources"] == ["secrets"]
    assert vpc["endpointPrivateAccess"] is True
    assert vpc["publicAccessCidrs"] == [str(cidr) for cidr in settings.endpoint_public_access_cidrs]
    assert set(vpc["subnetIds"]) == set(deployed_by_cdktf.outputs("network")["private_subnet_ids"])
    assert set(cluster["logging"]["clusterLogging"][0]["types"]) == set(settings.enabled_cluster_log_types)


def test_aws_holds_the_configured_node_groups(deployed_by_cdktf: Project) -> None:
    """Each entry of the settings is a group per zone; together they have its sizes."""
    eks, settings = deployed_by_cdktf.client("eks"), deployed_by_cdktf.settings.cluster
    found: dict[str, list[dict[str, Any]]] = {}
    for name in eks.list_nodegroups(clusterName=settings.name)["nodegroups"]:
        group = eks.describe_nodegroup(clusterName=settings.name, nodegroupName=name)["nodegroup"]
        found.setdefault(name.rpartition("-")[0], []).append(group)
    assert found.keys() == settings.node_groups.keys()
    for name, wanted in settings.node_groups.items():
        sizes = [group["scalingConfig"] for group in found[name]]
        assert sum(size["minSize"] for size in sizes) == wanted.min_size
        assert sum(size["maxSize"] for size in sizes) == wanted.max_size
        assert all(group["instanceTypes"] == list(wanted.instance_types) for group in found[name])
        assert all(group["labels"] == {"node-group": name} for group in found[name])


def test_no_node_group_spans_zones(deployed_by_cdktf: Project) -> None:
    """An Auto Scaling group of one subnet has nothing to rebalance, so no running job is moved."""
    eks = deployed_by_cdktf.client("eks")
    subnets = [
        eks.describe_nodegroup(clusterName="cicd", nodegroupName=name)["nodegroup"]["subnets"]
        for name in eks.list_nodegroups(clusterName="cicd")["nodegroups"]
    ]
    assert {len(ids) for ids in subnets} == {1}
    assert {ids[0] for ids in subnets} == set(deployed_by_cdktf.outputs("network")["private_subnet_ids"])


def test_nodes_have_encrypted_disks_imds_v2_only_and_tags(deployed_by_cdktf: Project) -> None:
    """The launch template that a node group uses forbids what pods must not do, and tags what costs money."""
    eks, ec2 = deployed_by_cdktf.client("eks"), deployed_by_cdktf.client("ec2")
    group = eks.describe_nodegroup(clusterName="cicd", nodegroupName="main-a")["nodegroup"]
    versions = ec2.describe_launch_template_versions(LaunchTemplateId=group["launchTemplate"]["id"])
    data = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    tagged = {
        item["ResourceType"]: {tag["Key"]: tag["Value"] for tag in item["Tags"]}
        for item in data["TagSpecifications"]
    }
    assert tagged.keys() == {"instance", "volume", "network-interface"}
    assert all(tags == {"Name": "local-main", "environment": "local"} for tags in tagged.values())


def test_an_empty_group_tells_the_autoscaler_what_its_nodes_will_be(deployed_by_cdktf: Project) -> None:
    """The Auto Scaling group of the group that starts at zero carries the node-template tags."""
    group = deployed_by_cdktf.outputs("cluster")["autoscaling_group_names"]["big-a"]
    tags = deployed_by_cdktf.client("autoscaling").describe_tags(
        Filters=[{"Name": "auto-scaling-group", "Values": [group]}]
    )["Tags"]
    prefix = "k8s.io/cluster-autoscaler/node-template"
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        "environment": "local",
        # EKS's own:
        "eks:cluster-name": "cicd",
        "eks:nodegroup-name": "big-a",
        "k8s.io/cluster-autoscaler/enabled": "true",
        "k8s.io/cluster-autoscaler/cicd": "owned",
        "kubernetes.io/cluster/cicd": "owned",
        f"{prefix}/label/node-group": "big",
        f"{prefix}/resources/cpu": "31850m",  # m5.8xlarge: 32 vCPUs, less 150m for the kubelet
        f"{prefix}/resources/memory": "118312Mi",  # 128 GiB, less the machine's share and the kubelet's
        f"{prefix}/resources/ephemeral-storage": "91136Mi",  # 100 GiB, less a tenth and 1 GiB
    }


def test_only_the_admin_role_has_access(deployed_by_cdktf: Project) -> None:
    """The one access entry is the cluster-admin role's, not the creator's."""
    role = deployed_by_cdktf.outputs("cluster")["cluster_admin_role_arn"]
    entries = deployed_by_cdktf.client("eks").list_access_entries(clusterName="cicd")["accessEntries"]
    assert entries == [role]


def test_the_kubectl_command_is_published(deployed_by_cdktf: Project) -> None:
    """The output is the command that a person can paste."""
    outputs = deployed_by_cdktf.outputs("cluster")
    assert outputs["update_kubeconfig_command"] == (
        f"aws eks update-kubeconfig --name cicd --region eu-central-1 "
        f"--role-arn {outputs['cluster_admin_role_arn']}"
    )


def test_a_larger_group_is_an_update_in_place(deployed_by_cdktf: Project) -> None:
    """Raising max_size changes the group of each zone, replaces none, and applies."""
    stack = deployed_by_cdktf.stack_folder("cluster") / "cdk.tf.json"
    before = stack.read_text()
    stack.write_text(before.replace('"max_size": 5', '"max_size": 6'))
    try:
        applied = deployed_by_cdktf.terraform("cluster", "apply", "-auto-approve", "-input=false")
        assert "Resources: 0 added, 2 changed, 0 destroyed" in applied.stdout, applied.stderr
        group = deployed_by_cdktf.client("eks").describe_nodegroup(clusterName="cicd", nodegroupName="main-a")
        assert group["nodegroup"]["scalingConfig"]["maxSize"] == 6
    finally:
        stack.write_text(before)
        deployed_by_cdktf.terraform("cluster", "apply", "-auto-approve", "-input=false")


def test_a_vpc_that_the_environment_made_is_forgotten_not_destroyed(deployed_by_cdktf: Project) -> None:
    """Naming the environment's own VPC as an existing one plans to forget it, and publishes the same."""
    made = deployed_by_cdktf.outputs("network")
    names = ("vpc_id", "private_subnet_ids", "public_subnet_ids")
    with deployed_by_cdktf.changed({"network.existing": {name: made[name] for name in names}}):
        changes = deployed_by_cdktf.planned_changes("network")
        plan = json.loads(deployed_by_cdktf.terraform("network", "show", "-json", "test.tfplan").stdout)
    assert changes.keys() == {
        address
        for address in deployed_by_cdktf.terraform("network", "state", "list").stdout.split()
        if not address.startswith("data.")
    }
    assert {tuple(item["change"]["actions"]) for item in changes.values()} == {("forget",)}
    assert {tuple(item["actions"]) for item in plan["output_changes"].values()} == {("no-op",)}

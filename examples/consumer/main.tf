# A separate Terraform project that uses the network and the cluster of one environment: it lets the
# nodes pull images from ECR without the NAT gateway.

terraform {
  required_version = ">= 1.11.0"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

variable "environment" {
  type        = string
  description = "Name of the environment: a file under environments/ of the runners' project."
}

variable "region" {
  type        = string
  description = "AWS region of the environment. If it is null, the region of the state bucket."
  default     = null
}

locals {
  region = coalesce(var.region, local.backend.region)
  # The copied backend.tf.json names the bucket of the environment's state, too.
  backend = jsondecode(file("${path.module}/backend.tf.json")).terraform.backend.s3
}

provider "aws" {
  region = local.region
}

data "terraform_remote_state" "network" {
  backend = "s3"
  config  = merge(local.backend, { key = "${var.environment}/network.tfstate" })
}

data "terraform_remote_state" "cluster" {
  backend = "s3"
  config  = merge(local.backend, { key = "${var.environment}/cluster.tfstate" })
}

resource "aws_security_group" "registry" {
  name        = "${var.environment}-registry-endpoint"
  description = "HTTPS from the nodes of the cluster"
  vpc_id      = data.terraform_remote_state.network.outputs.vpc_id

  ingress {
    description     = "Nodes and pods"
    from_port       = 443
    to_port         = 443
    protocol        = "tcp"
    security_groups = [data.terraform_remote_state.cluster.outputs.cluster_security_group_id]
  }
}

resource "aws_vpc_endpoint" "registry" {
  vpc_id              = data.terraform_remote_state.network.outputs.vpc_id
  service_name        = "com.amazonaws.${local.region}.ecr.dkr"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = data.terraform_remote_state.network.outputs.private_subnet_ids
  security_group_ids  = [aws_security_group.registry.id]
}

output "endpoint_id" {
  description = "ID of the VPC endpoint."
  value       = aws_vpc_endpoint.registry.id
}

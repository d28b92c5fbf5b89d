variable "name" {
  description = "Name of the service and prefix of everything made for it."
  type        = string
  default     = "connector"
}

variable "cluster_arn" {
  description = "The ECS cluster to run in."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:ecs:[^:]+:[0-9]{12}:cluster/.+$", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an ECS cluster."
  }
}

variable "vpc_id" {
  description = "The VPC of the subnets."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets to run in, best in three availability zones. They need a way to the ECS API."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "assign_public_ip" {
  description = "Whether tasks get public addresses: in public subnets, their only way to the ECS API."
  type        = bool
  default     = false
}

variable "image" {
  description = "The instance's image, for example built from deploy/docker/Dockerfile."
  type        = string
}

variable "desired_count" {
  description = "Number of instances. Three survive the loss of any one."
  type        = number
  default     = 3

  validation {
    condition     = var.desired_count >= 1 && floor(var.desired_count) == var.desired_count
    error_message = "desired_count must be a whole number of at least 1."
  }
}

variable "cpu" {
  description = "CPU units of a task."
  type        = number
  default     = 512
}

variable "memory" {
  description = "Memory of a task, MiB."
  type        = number
  default     = 1024
}

variable "environment" {
  description = "More environment variables of the instance, for example FORMAL_CLUSTER_POLICY__PATHS."
  type        = map(string)
  default     = {}
}

variable "clients" {
  description = "Security groups that may ask for decisions on port 8181, by a name of your choice."
  type        = map(string)
  default     = {}
}

variable "log_retention_days" {
  description = "How long the instances' logs are kept, days."
  type        = number
  default     = 30
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}

output "service_arn" {
  description = "The ECS service."
  value       = aws_ecs_service.instances.id
}

output "task_role_arn" {
  description = "The instances' role, for permissions that your proxy needs besides."
  value       = aws_iam_role.task.arn
}

output "security_group_id" {
  description = "The instances' security group."
  value       = aws_security_group.instances.id
}

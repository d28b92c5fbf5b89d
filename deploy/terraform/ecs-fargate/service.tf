data "aws_region" "current" {}

resource "aws_cloudwatch_log_group" "instances" {
  name              = "/ecs/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_ecs_task_definition" "instance" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc" # the only one in which tasks can reach each other's ports
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  tags                     = var.tags

  # The task's own storage. A replaced task copies the state from the others.
  volume {
    name = "state"
  }

  container_definitions = jsonencode([{
    name        = "instance"
    image       = var.image
    essential   = true
    stopTimeout = 120 # time to hand over and leave the cluster; Fargate allows no more
    environment = [
      for key, value in merge({
        FORMAL_CLUSTER_DISCOVERY__DRIVERS = jsonencode(["ecs"])
        FORMAL_CLUSTER_SERVER__HOST       = "0.0.0.0"
      }, var.environment) : { name = key, value = value }
    ]
    portMappings = [
      for port in [8181, 2379, 2380] : { containerPort = port, protocol = "tcp" }
    ]
    mountPoints = [{ sourceVolume = "state", containerPath = "/default.etcd", readOnly = false }]
    healthCheck = {
      command     = ["CMD", "python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8181/ready', timeout=4)"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 120
    }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.instances.name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = "instance"
      }
    }
  }])
}

resource "aws_ecs_service" "instances" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.instance.arn
  launch_type     = "FARGATE"
  desired_count   = var.desired_count
  propagate_tags  = "SERVICE"
  tags            = var.tags

  # A deployment starts one new instance, waits until it is ready, then stops one old one: at no time
  # is a majority away. ECS rounds the maximum down, hence ceil.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = ceil(100 * (var.desired_count + 1) / var.desired_count)

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.instances.id]
    assign_public_ip = var.assign_public_ip
  }

  depends_on = [aws_iam_role_policy.discovery]
}

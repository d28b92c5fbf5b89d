data "aws_iam_policy_document" "assumed_by_tasks" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# ── what an instance may do: find the others, and nothing else ──────────────────────────────────

resource "aws_iam_role" "task" {
  name_prefix        = "${var.name}-task-"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_tasks.json
  tags               = var.tags
}

data "aws_iam_policy_document" "discovery" {
  statement {
    sid       = "FindOtherInstances"
    actions   = ["ecs:ListTasks", "ecs:DescribeTasks"]
    resources = ["*"] # the condition is what limits them to one cluster

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.cluster_arn]
    }
  }
}

resource "aws_iam_role_policy" "discovery" {
  name   = "discovery"
  role   = aws_iam_role.task.id
  policy = data.aws_iam_policy_document.discovery.json
}

# ── what ECS itself does for a task: fetch the image, write the log ─────────────────────────────

resource "aws_iam_role" "execution" {
  name_prefix        = "${var.name}-execution-"
  assume_role_policy = data.aws_iam_policy_document.assumed_by_tasks.json
  tags               = var.tags
}

data "aws_partition" "current" {}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

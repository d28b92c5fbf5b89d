resource "aws_security_group" "instances" {
  name_prefix = "${var.name}-"
  description = "Instances of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = var.name })

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "cluster" {
  security_group_id            = aws_security_group.instances.id
  description                  = "State servers of the instances, among themselves"
  ip_protocol                  = "tcp"
  from_port                    = 2379
  to_port                      = 2380
  referenced_security_group_id = aws_security_group.instances.id
  tags                         = var.tags
}

resource "aws_vpc_security_group_ingress_rule" "decisions" {
  for_each = var.clients

  security_group_id            = aws_security_group.instances.id
  description                  = "Decisions for ${each.key}"
  ip_protocol                  = "tcp"
  from_port                    = 8181
  to_port                      = 8181
  referenced_security_group_id = each.value
  tags                         = var.tags
}

resource "aws_vpc_security_group_egress_rule" "all" {
  for_each = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }

  security_group_id = aws_security_group.instances.id
  description       = "The ECS API, the image, the log, the other instances"
  ip_protocol       = "-1"
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
  tags              = var.tags
}

"""Subcommands of `formal-cluster` that this plugin brings; see `formal_cluster.commands`."""

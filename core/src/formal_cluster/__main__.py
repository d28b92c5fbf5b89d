"""`python -m formal_cluster` is the command `formal-cluster`."""

from formal_cluster.cli import main

main(prog_name="formal-cluster")

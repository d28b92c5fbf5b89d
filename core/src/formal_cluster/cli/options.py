"""Options that several commands have, those of plugins among them."""

from formal_cluster.commands import config_option, json_option

__all__ = ["config_option", "json_option"]

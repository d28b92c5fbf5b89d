"""An S3 connector on formal-cluster, and a demonstration that drives three of them."""

"""formal-cluster's state store on an embedded, supervised etcd."""

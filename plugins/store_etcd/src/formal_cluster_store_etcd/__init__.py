"""formal-cluster's state store on an embedded, supervised etcd.

The store:

    plugin, settings              the entry point and `[store.etcd]`
    store, condition              the driver: keys through the client, status from the supervisor
    supervisor                    starts and stops what runs beside the store's operations

This instance's etcd:

    member_runner                 prepare, find the place in the cluster, start, and over again
    workplace                     what that needs: binary, data_dir, identity_file, ports
    former → steps, formation, genesis
                                  carries out → what is decided (pure): restart, join, found, wait
    views, probe → observations   what is known of the others: discovery, their peer ports
    status_server, peer_status    what the others are told while no etcd runs here
    process, launcher             the child that never outlives its supervisor
    etcd_command, etcd_log, readiness, failures
                                  how it is started, what it says, that it is ours, why it ended

The cluster:

    cluster_watch                 quorum, members and their health; sets the client's endpoints
    announcer, presence           tells the cluster that this instance is there
    leader → membership           carries out → what is decided (pure): add, promote, remove
    journal                       each decision with its evidence, as a log line

The client:

    client → kv, watch            the store contract over several endpoints
    calls, endpoints, outcome, errors_map
                                  one request: where it goes, and what became of it
    watch_stream, watch_cursor    one stream; what has been delivered
    cluster_api, cluster_errors   questions to, and changes through, one given member
    rpc                           the only module that knows gRPC and etcd's protocol
    backoff, key_range, names, urls, identity
                                  small values and functions
"""

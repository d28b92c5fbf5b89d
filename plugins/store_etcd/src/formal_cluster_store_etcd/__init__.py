"""formal-cluster's state store on an embedded, supervised etcd.

The store:

    plugin, settings              the entry point and `[store.etcd]`
    key_operations → client/      the driver's operations on keys
    store, condition              the embedded etcd: status from the supervisor
    external, external_watch      an etcd that is operated elsewhere
    supervisor                    starts and stops what runs beside the store's operations
    commands                      `formal-cluster snapshot`

`planning/`: what is decided (pure), and the values it is decided on:

    formation → genesis, recovery restart, join, found, restore, wait; an instance without a running
                                  etcd
    vigil → gate                  whether an etcd that runs is to be stopped; who could still vote
    membership → removal          add, promote, remove, hand over; the leader's supervisor
    maintenance                   compact, defragment, disarm, warn
    leaving                       how long an instance that is stopped waits for the others
    steps, observations, members, identity, peer_status, presence, changes, roster, log_position
                                  the values

`member/`: this instance's etcd:

    member_runner                 prepare, find the place in the cluster, start, and over again
    workplace                     what that needs: binary, data_dir, identity_file, ports
    former, guard, observer       carry out what `formation` and `vigil` decide, on what they see
    copies_on_disk, requests      what a recovery needs to know of this disk and of the operator
    status_server                 what the others are told while no etcd runs here
    process, launcher             the child that never outlives its supervisor
    etcd_command, etcd_log, readiness, failures
                                  how it is started, what it says, that it is ours, why it ended
    rebuild → wal, replay, restore_tool, in_thread
                                  a stopped member's data becomes a new cluster's
    restore_snapshot              so does a snapshot
    wal_format                    etcd's write-ahead log, byte by byte

`peers/`: the others:

    views, probe                  what is known of them: discovery, their peer ports
    cluster_watch                 quorum, members and their health; sets the client's endpoints
    lineage                       says in the store which cluster it goes back to
    announcer                     tells the cluster that this instance is there
    leader → leader_memory        carries out what `membership` decides
    leaver, maintenance           carry out what `leaving` and `planning.maintenance` decide

`tls/`: certificates:

    keeper → credentials          read anew when the files change; the last good ones are kept
    rehearsal                     whether they work: a handshake with ourselves
    detection                     somebody with other certificates, or none, is told from silence

`client/`: the etcd client:

    etcd_client → kv, watch       the store contract over several endpoints
    calls, endpoints, outcome, errors_map
                                  one request: where it goes, and what became of it
    watch_stream, watch_cursor    one stream; what has been delivered
    snapshots                     all of a member's data as a file
    cluster_api, cluster_errors   questions to, and changes through, one given member
    rpc                           the only module that knows gRPC and etcd's protocol

`journal` writes each decision with its evidence; `backoff`, `names`, `urls` are small functions.
"""

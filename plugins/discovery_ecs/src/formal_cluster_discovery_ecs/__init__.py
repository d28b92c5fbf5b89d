"""Discovery on AWS ECS: the tasks of this instance's service are the instances.

The data's way:

    metadata_endpoint, metadata    who am I: the task metadata endpoint, read and understood
    target                         whom to ask about, and where
    api, sdk, refusals             what ECS says of them: two actions, and why they fail
    tasks                          one task of ECS as what it means for an instance
    sightings                      what many reads together prove, and the view they add up to
    pacing                         how often to ask
    ecs                            the driver: reads, and lets the modules above decide

`metadata`, `target`, `tasks`, `sightings` and `pacing` are pure: no I/O, no clock, no log.
"""

#!lua flags=no-writes,allow-oom
-- cluster, key
local key = ARGV[2]
if is_other_store() then return OTHER_STORE end
if is_due() then return RUN_OUT end
return {meta('revision'), redis.call('HGET', REVISIONS, key), redis.call('HGET', VALUES, key)}

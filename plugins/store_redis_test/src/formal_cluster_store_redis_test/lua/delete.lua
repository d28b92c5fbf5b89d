#!lua flags=allow-oom
-- cluster, key, expected revision or '', history length
local key, expected = ARGV[2], ARGV[3]
local history = tonumber(ARGV[4])
if is_other_store() then return OTHER_STORE end
expire(history, key)
local refusal = conflict(key, expected)
if refusal then return refusal end
local existed = redis.call('HEXISTS', REVISIONS, key) == 1
local revision = false
if existed then revision = remove(key, history) end
return {meta('revision'), revision}

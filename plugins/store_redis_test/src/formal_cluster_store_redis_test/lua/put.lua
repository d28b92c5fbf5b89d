#!lua
-- cluster, key, value, expected revision or '', time to live in microseconds or '', history length
local key, value, expected, ttl = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local history = tonumber(ARGV[6])
if is_other_store() then return OTHER_STORE end
expire(history, key)
local refusal = conflict(key, expected)
if refusal then return refusal end
local revision = record(history, 'k', key, 'v', value)
redis.call('ZADD', NAMES, 0, key)
redis.call('HSET', VALUES, key, value)
redis.call('HSET', REVISIONS, key, text(revision))
if ttl == '' then
  redis.call('ZREM', DEADLINES, key)
else
  redis.call('ZADD', DEADLINES, text(now() + tonumber(ttl)), key)
end
return revision

#!lua flags=allow-oom
-- cluster, history length, history age in microseconds
-- Deletes what has run out, and forgets changes that are too old. How old a revision is, is known
-- from notes of the revision that are taken now and then; a hundredth of the age is near enough.
local history, age = tonumber(ARGV[2]), tonumber(ARGV[3])
if is_other_store() then return OTHER_STORE end
expire(history)
local time, revision = now(), meta('revision')
local newest = redis.call('ZRANGE', AGES, -1, -1, 'WITHSCORES')
if #newest == 0
  or (tonumber(newest[2]) <= time - age / 100 and tonumber(newest[1]) < revision) then
  redis.call('ZADD', AGES, text(time), text(revision))
end
local past = redis.call('ZRANGE', AGES, text(time - age), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)
if #past > 0 then
  forget_before(tonumber(past[1]) + 1)
  redis.call('ZREMRANGEBYSCORE', AGES, '-inf', text(time - age))
end
return revision

#!lua flags=no-writes,allow-oom
-- cluster; the revision, the oldest one in the history, microseconds until a key runs out or -1
if is_other_store() then return OTHER_STORE end
local first = redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')
local left = -1
if #first > 0 then left = math.max(0, tonumber(first[2]) - now()) end
return {meta('revision'), meta('oldest'), left}

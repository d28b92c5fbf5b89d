#!lua flags=no-writes,allow-oom
-- cluster, and the last revision that the caller knows or ''
-- Answers the revision, the oldest one that a watch can start from, and the microseconds until a
-- key runs out or -1. Whoever knows a revision that was given and then lost can start only behind
-- the loss: what he knows is not what the store has.
if is_other_store() then return OTHER_STORE end
local revision, oldest = meta('revision'), meta('oldest')
local known = tonumber(ARGV[2])
if known and known >= oldest and known < revision then
  local entry = redis.call('XRANGE', LOG, ARGV[2] .. '-0', '+', 'COUNT', 1)[1]
  local found = tonumber(string.match(entry[1], '^%d+'))
  if found ~= known then oldest = found + 1 end
end
local first = redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')
local left = -1
if #first > 0 then left = math.max(0, tonumber(first[2]) - now()) end
return {revision, oldest, left}

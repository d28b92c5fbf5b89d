#!lua flags=no-writes,allow-oom
-- cluster, lexicographic start, lexicographic end, most entries, most bytes
-- Stops behind the entry that crosses the bound on bytes, so a page is never empty without reason.
local first, last, most, room = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
if is_other_store() then return OTHER_STORE end
if is_due() then return RUN_OUT end
local names = redis.call('ZRANGE', NAMES, first, last, 'BYLEX', 'LIMIT', 0, most)
local page = {meta('revision'), 0}
for index, key in ipairs(names) do
  local value = redis.call('HGET', VALUES, key)
  page[#page + 1] = key
  page[#page + 1] = redis.call('HGET', REVISIONS, key)
  page[#page + 1] = value
  room = room - #key - #value
  if room < 0 or index == most then
    page[2] = 1
    break
  end
end
return page

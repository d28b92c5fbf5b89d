-- Begins every script. A store is seven Redis keys (see layout.py):
--   META       hash: cluster, run, durable, revision, oldest, base (the revision this life began at)
--   NAMES      sorted set, all scores 0: the keys in lexicographic order
--   VALUES     hash: key to value
--   REVISIONS  hash: key to the revision of its last change
--   DEADLINES  sorted set: key to the microsecond of the server's clock at which it runs out
--   LOG        stream: one entry per change and per life's beginning, its id is <revision>-0
--   AGES       sorted set: the revision that the store had at some microseconds of the past
local META, NAMES, VALUES, REVISIONS, DEADLINES, LOG, AGES = unpack(KEYS)

-- Numbers above 10^14 must not become 1e+14. Microseconds since 1970 are exact in a double.
local function text(number)
  return string.format('%.0f', number)
end

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function meta(field)
  return tonumber(redis.call('HGET', META, field))
end

local OTHER_STORE = redis.error_reply('OTHERSTORE the store was emptied or replaced')

local function is_other_store()
  return redis.call('HGET', META, 'cluster') ~= ARGV[1]
end

local function conflict(key, expected)
  local actual = redis.call('HGET', REVISIONS, key) or '0'
  if expected ~= '' and expected ~= actual then
    return redis.error_reply('CONFLICT ' .. actual)
  end
end

local function forget_before(revision)
  if revision > meta('oldest') then
    redis.call('XTRIM', LOG, 'MINID', '=', text(revision))
    redis.call('HSET', META, 'oldest', text(revision))
  end
end

local function record(history, ...)
  local revision = redis.call('HINCRBY', META, 'revision', 1)
  redis.call('XADD', LOG, text(revision) .. '-0', ...)
  if revision - meta('base') >= history then
    forget_before(revision - history + 1)
  end
  return revision
end

local function remove(key, history)
  redis.call('HDEL', VALUES, key)
  redis.call('HDEL', REVISIONS, key)
  redis.call('ZREM', NAMES, key)
  redis.call('ZREM', DEADLINES, key)
  return record(history, 'k', key)
end

-- Whether a key has run out: a reading script then has one deleted first, by `sweep`.
local function is_due()
  local first = redis.call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')
  return #first > 0 and tonumber(first[2]) <= now()
end

local RUN_OUT = redis.error_reply('DUE a key has run out')

-- Deletes what has run out, the earliest first, and `own` in any case. Not more at once than takes
-- some milliseconds: the rest waits for the next script, and readers wait for that.
local function expire(history, own)
  local time = now()
  local due = redis.call('ZRANGE', DEADLINES, '-inf', text(time), 'BYSCORE', 'LIMIT', 0, 200)
  for _, key in ipairs(due) do
    remove(key, history)
  end
  local deadline = own and redis.call('ZSCORE', DEADLINES, own)
  if deadline and tonumber(deadline) <= time then
    remove(own, history)
  end
end

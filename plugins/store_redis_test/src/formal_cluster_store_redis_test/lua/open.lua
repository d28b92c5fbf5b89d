#!lua flags=allow-oom
-- a new cluster id, the server's run id, '1' if it keeps acknowledged changes over a restart else
-- '0', the cluster id and the revision that the caller has seen ('' and 0 if none)
--
-- Begins a new life of the store when it may have lost changes: it is empty, or the server was
-- restarted and did not promise to keep them, or somebody has seen a higher revision. The new life
-- has a cluster id of its own, and revisions above any that were ever given: none is given twice,
-- because a server makes fewer changes than there are microseconds. What is left of the history is
-- true and stays. Between it and the entry that begins the new life are the revisions lost.
local candidate, run, durable, seen_cluster = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local seen_revision = tonumber(ARGV[5])
local cluster = redis.call('HGET', META, 'cluster')
local revision = meta('revision') or 0
local same_run = redis.call('HGET', META, 'run') == run
local kept = same_run or (redis.call('HGET', META, 'durable') == '1' and durable == '1')
local behind = seen_cluster == cluster and seen_revision > revision
if not cluster then
  redis.call('DEL', unpack(KEYS))
  redis.call('HSET', META, 'oldest', '1')
end
if not cluster or not kept or behind then
  cluster = candidate
  revision = math.max(revision + 1, seen_revision + 1, now())
  redis.call('HSET', META, 'cluster', cluster, 'revision', text(revision), 'base', text(revision))
  redis.call('XADD', LOG, text(revision) .. '-0', 'life', cluster)
end
-- Within a run the promise is only ever taken back: what was written before it may be lost.
if not same_run or durable == '0' then
  redis.call('HSET', META, 'run', run, 'durable', durable)
end
return {cluster, redis.call('HGET', META, 'durable'), revision}

#!lua flags=no-writes,allow-oom
-- cluster, first revision, last revision, most entries
if is_other_store() then return OTHER_STORE end
if tonumber(ARGV[2]) < meta('oldest') then return redis.error_reply('FORGOTTEN history is gone') end
return redis.call('XRANGE', LOG, ARGV[2] .. '-0', ARGV[3] .. '-0', 'COUNT', ARGV[4])

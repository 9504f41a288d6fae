-- recall: what a run was submitted with, so that the same can be submitted again. Writes nothing.
-- Answers {state, job, queue, terms, labels, priority, owner, key, limits, work}, or nil for an unknown run. ARGV: id

function scripts.recall(ARGV)
  local state, job, queue, class_terms, labels, priority, owner, key, limits, work = unpack(redis.call('HMGET',
    record_key(ARGV[1]), 'state', 'job', 'queue', 'terms', 'labels', 'priority', 'owner', 'key', 'limits', 'work'))
  if not state then
    return false
  end
  job = job or cjson.encode(string.match(work, '[^\n]*'))  -- which format 1 did not keep by itself, nor its terms as JSON
  if string.sub(class_terms, 1, 1) ~= '{' then
    class_terms = cjson.encode(parsed_terms(class_terms))
  end
  return {state, job, queue, class_terms, labels or '', priority or '0', owner or '', key or '', limits or '', work}
end

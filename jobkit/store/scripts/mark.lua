-- mark: what a supervisor sees of a start that is being performed: that it stalls, that it moves again, that its process is to
-- be killed. Guarantees: only of the start of this token, for as long as it runs; a mark of an old start says nothing of a new one.
-- It renews nothing. Answers ok or lost. A resend marks what is marked, and notes no second incident.
-- ARGV: id, token, what (stalled, moving, killing), an incident to note or ''

local MARK = {}

function MARK.stalled(run, incident)
  if field(run, 'stalled') ~= run.token then
    note_incident(run, incident)
    put(run, 'stalled', run.token)
  end
end

function MARK.moving(run)
  put(run, 'stalled', '')
end

function MARK.killing(run)
  put(run, 'killing', run.token)
end

function scripts.mark(ARGV)
  local id, token, what, incident = unpack(ARGV)
  local run = read_run(id)
  if not run or run.state ~= 'running' or run.token ~= token then
    return 'lost'
  end
  MARK[what](run, incident)
  commit(run)
  return 'ok'
end

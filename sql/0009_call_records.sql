-- One row per call: grouped from Asterisk's CDRs by linkedid, enriched with what bridge and application know.
-- WhatsApp calls that never reached Asterisk (refused offer, terminate before connect) have no CDR and appear all the same.

CREATE VIEW reports.call_records AS
WITH first_cdr AS (
    -- The CDR that stands for the call: that of the WhatsApp caller's dialplan channel, else of the first channel.
    SELECT DISTINCT ON (linkedid) *
      FROM cdr.cdr
     WHERE channel NOT LIKE 'Snoop/%' -- it only listens to others
     ORDER BY linkedid, whatsapp_call_id IS NULL, uniqueid <> linkedid, start, sequence
), asterisk_call AS (
    SELECT linkedid, min(start) AS started_at, max("end") AS ended_at,
           -- "PJSIP/1001-0000000a" is a channel of "PJSIP/1001"
           max(substring(dstchannel FROM '^(.+)-[0-9a-f]{8}$')) FILTER (WHERE dstchannel !~ '^(Local/|WebSocket/|PJSIP/whatsapp-target-)') AS dialled
      FROM cdr.cdr
     WHERE channel NOT LIKE 'Snoop/%'
     GROUP BY linkedid
), call AS (
    SELECT a.linkedid, a.started_at, a.ended_at, a.dialled, f.answer, f.disposition, f.src, f.dst, f.clid,
           f.whatsapp_call_id, f.channel_type
      FROM asterisk_call a
      JOIN first_cdr f USING (linkedid)
    UNION ALL
    SELECT coalesce(w.linkedid, w.id::text), w.received_at, w.ended_at, NULL, NULL, 'NO CDR', NULL, n.display_number, NULL,
           w.meta_call_id, 'WhatsApp Call'
      FROM whatsapp.calls w
      JOIN whatsapp.numbers n USING (phone_number_id)
     WHERE w.state = 'ended'
       -- Asterisk writes its CDR a moment after the end of a call that it had.
       AND (w.linkedid IS NULL OR w.ended_at < now() - interval '5 seconds')
       AND NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = w.linkedid)
), joined AS (
    SELECT c.*, w.id AS w_id, w.user_number, w.user_name, w.user_id, w.ended_by AS w_ended_by, w.reason AS w_reason,
           w.hangup_cause, w.direction AS w_direction, n.display_number,
           p.id AS p_id, p.status AS p_status, p.ended_by AS p_ended_by, p.reason AS p_reason, p.direction AS p_direction,
           p.received_at, p.number AS p_number, p.caller_number, p.caller_name,
           CASE WHEN p.id IS NULL THEN c.answer ELSE p.connected_at END AS connected_at,
           coalesce(agent.name, CASE WHEN c.disposition = 'ANSWERED' THEN c.dialled END) AS agent
      FROM call c
      LEFT JOIN whatsapp.calls w ON w.meta_call_id = c.whatsapp_call_id
      LEFT JOIN whatsapp.numbers n USING (phone_number_id)
      LEFT JOIN pbx.calls p ON p.linkedid = c.linkedid
      LEFT JOIN pbx.agents agent ON agent.id = p.agent_id
     -- Asterisk writes CDRs of single legs (an agent who refused) while the call goes on.
     WHERE coalesce(w.state, 'ended') = 'ended' AND coalesce(p.state, 'ended') = 'ended'
), timed AS (
    SELECT *,
           greatest(0, round(extract(epoch FROM coalesce(connected_at, ended_at) - coalesce(received_at, started_at))))::bigint
               AS waited,
           greatest(0, coalesce(round(extract(epoch FROM ended_at - connected_at)), 0))::bigint AS talked
      FROM joined
)
SELECT linkedid,
       coalesce(channel_type, 'Voice') AS channel_type,
       coalesce(p_direction, w_direction, 'internal') AS direction,
       coalesce(user_number, nullif(caller_number, ''), nullif(src, ''), user_id) AS user_number,
       coalesce(user_name, nullif(caller_name, ''), substring(clid FROM '^"(.+)" <')) AS user_name,
       coalesce(display_number, p_number, dst) AS business_number,
       agent,
       started_at,
       connected_at AS answered_at,
       ended_at,
       waited AS wait_seconds,
       talked AS talk_seconds,
       reports.hh_mm_ss(talked) AS duration,
       CASE
           WHEN w_ended_by = 'system' AND connected_at IS NULL THEN 'Failed'
           WHEN p_status IS NOT NULL THEN p_status
           WHEN disposition = 'ANSWERED' THEN 'Answered'
           WHEN w_ended_by = 'user' THEN 'User Abandon'
           WHEN hangup_cause IN (17, 21) OR disposition = 'BUSY' THEN 'Rejected'
           WHEN disposition IN ('FAILED', 'CONGESTION') THEN 'Failed'
           ELSE 'Missed'
       END AS status,
       CASE
           WHEN w_ended_by = 'system' THEN 'system'
           WHEN p_ended_by IS NOT NULL THEN p_ended_by
           WHEN w_ended_by = 'user' THEN 'user'
           WHEN w_ended_by = 'pbx' AND agent IS NOT NULL THEN 'agent'
           WHEN w_ended_by = 'pbx' THEN 'system'
       END AS ended_by,
       CASE WHEN w_ended_by = 'system' THEN w_reason ELSE coalesce(p_reason, w_reason) END AS reason,
       whatsapp_call_id AS meta_call_id,
       recorded.file AS recording_file,
       recorded.seconds::double precision AS recording_seconds
  FROM timed
  LEFT JOIN LATERAL (
      SELECT r.file, r.seconds
        FROM pbx.recordings r
       WHERE r.call_id = timed.p_id AND r.seconds IS NOT NULL AND r.deleted_at IS NULL
       ORDER BY r.started_at
       LIMIT 1
  ) recorded ON true;

COMMENT ON VIEW reports.call_records IS 'One row per call that is over, WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.linkedid IS 'Key: what all of the call''s CDRs share';
COMMENT ON COLUMN reports.call_records.channel_type IS 'WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.direction IS 'inbound, outbound, or internal (known from CDRs alone)';
COMMENT ON COLUMN reports.call_records.user_number IS 'The person at the other end: number, or Meta''s id where there is none';
COMMENT ON COLUMN reports.call_records.user_name IS 'Name as the person gave it';
COMMENT ON COLUMN reports.call_records.business_number IS 'The number that was called';
COMMENT ON COLUMN reports.call_records.agent IS 'Who took the call; the endpoint where it is nobody''s we know';
COMMENT ON COLUMN reports.call_records.started_at IS 'First ring';
COMMENT ON COLUMN reports.call_records.answered_at IS 'When caller and agent could talk; null if never';
COMMENT ON COLUMN reports.call_records.wait_seconds IS 'From the first ring to the agent, or to the end, s';
COMMENT ON COLUMN reports.call_records.talk_seconds IS 'From the agent''s answer to the end, s';
COMMENT ON COLUMN reports.call_records.duration IS 'talk_seconds as HH:MM:SS';
COMMENT ON COLUMN reports.call_records.status IS 'Answered, User Abandon, Missed, Voicemail, Rejected or Failed';
COMMENT ON COLUMN reports.call_records.ended_by IS 'user, agent or system; null where a plain CDR does not tell';
COMMENT ON COLUMN reports.call_records.reason IS 'Why it ended as it did, in words';
COMMENT ON COLUMN reports.call_records.meta_call_id IS 'Meta''s call id, WhatsApp calls only';
COMMENT ON COLUMN reports.call_records.recording_file IS 'Stereo file in the recordings folder; null when there is none (any more)';
COMMENT ON COLUMN reports.call_records.recording_seconds IS 'Its length, s';
COMMENT ON COLUMN pbx.recordings.file IS 'Path in the recordings folder';
COMMENT ON COLUMN pbx.recordings.seconds IS 'Length; null while the file is not there';

-- A contact centre's year of calls, bench.calls of them: half are WhatsApp calls with three CDRs each and all that bridge and
-- application write, half plain voice calls of the PBX with one. Written around the triggers, as a customer would load an
-- old table.
INSERT INTO whatsapp.numbers SELECT '10654035224292' || n, '1555078388' || n, 'Number ' || n FROM generate_series(1, 5) n;
INSERT INTO pbx.agents (id, name, endpoint)
SELECT lpad(to_hex(n), 32, '0')::uuid, 'Agent ' || n, 'PJSIP/' || 1000 + n FROM generate_series(1, 200) n;
INSERT INTO pbx.groups (name) SELECT 'Group ' || n FROM generate_series(1, 10) n;
ALTER TABLE cdr.cdr DISABLE TRIGGER USER;
ALTER TABLE whatsapp.calls DISABLE TRIGGER USER;
ALTER TABLE pbx.calls DISABLE TRIGGER USER;
ALTER TABLE pbx.offers DISABLE TRIGGER USER;
ALTER TABLE pbx.recordings DISABLE TRIGGER USER;
SELECT setseed(0.5);

-- talks: was it answered? waits, lasts: seconds
CREATE UNLOGGED TABLE made AS
SELECT n, n % 2 = 0 AS whatsapp, at, 'lid-' || n AS linkedid, md5('call' || n)::uuid AS id, 'wacid.' || md5('meta' || n) AS wacid,
       random() < 0.8 AS talks, (2 + random() * random() * 120)::integer AS waits, (5 + random() * random() * 900)::integer AS lasts,
       1 + (random() * 199)::integer AS agent, 1 + (random() * 9)::integer AS team,
       1 + (random() * 4)::integer AS number, '49151' || lpad((random() * 1e7)::integer::text, 8, '0') AS caller
  FROM (SELECT n, timestamptz '2026-11-24 00:00Z' - interval '365 days' * (1 - n::float8 / current_setting('bench.calls')::integer) AS at
          FROM generate_series(1, current_setting('bench.calls')::integer) n) s;
INSERT INTO cdr.cdr (calldate, clid, src, dst, dcontext, channel, dstchannel, lastapp, start, answer, "end", duration, billsec,
                     disposition, uniqueid, linkedid, sequence, whatsapp_call_id, channel_type)
SELECT at, '"Caller ' || n || '" <' || caller || '>', CASE WHEN leg = 3 THEN '' ELSE caller END,
       CASE WHEN whatsapp THEN '1555078388' || number ELSE (1000 + agent)::text END, 'ctx',
       CASE WHEN NOT whatsapp THEN 'PJSIP/trunk-' WHEN leg = 3 THEN 'PJSIP/' || 1000 + agent || '-' ELSE 'Local/x@whatsapp-in-' END
           || lpad(to_hex(n), 8, '0'),
       CASE WHEN NOT whatsapp THEN 'PJSIP/' || 1000 + agent || '-' || lpad(to_hex(n), 8, '0') ELSE '' END, 'Dial',
       at, CASE WHEN talks THEN at + waits * interval '1 s' END, at + (waits + lasts) * interval '1 s', waits + lasts, lasts,
       CASE WHEN talks THEN 'ANSWERED' ELSE 'NO ANSWER' END, linkedid || CASE leg WHEN 1 THEN '' ELSE '.' || leg END, linkedid, n,
       CASE WHEN whatsapp AND leg = 1 THEN wacid END, CASE WHEN whatsapp THEN 'WhatsApp Call' END
  FROM made, generate_series(1, CASE WHEN whatsapp THEN 3 ELSE 1 END) leg;
INSERT INTO whatsapp.calls (id, meta_call_id, phone_number_id, direction, user_id, user_number, user_name, state, linkedid,
                            received_at, accepted_at, ended_at, ended_by, hangup_cause, reason, meta_duration)
SELECT md5(id::text)::uuid, wacid, '10654035224292' || number, 'inbound', caller, caller, 'Caller ' || n, 'ended', linkedid, at,
       at + interval '1 s', at + (waits + lasts) * interval '1 s', 'user', 16, 'the user hung up', waits + lasts - 1
  FROM made WHERE whatsapp;
INSERT INTO pbx.calls (id, linkedid, channel_type, direction, number, caller_number, caller_name, whatsapp_call_id, state, status,
                       ended_by, reason, agent_id, received_at, queued_at, connected_at, ended_at, path)
SELECT id, linkedid, 'WhatsApp Call', 'inbound', '1555078388' || number, caller, 'Caller ' || n, wacid, 'ended',
       CASE WHEN talks THEN 'Answered' WHEN n % 3 = 0 THEN 'Missed' ELSE 'User Abandon' END, 'user', 'the caller hung up',
       CASE WHEN talks THEN lpad(to_hex(agent), 32, '0')::uuid END, at, at + interval '1 s',
       CASE WHEN talks THEN at + waits * interval '1 s' END, at + (waits + CASE WHEN talks THEN lasts ELSE 0 END) * interval '1 s',
       ARRAY['group:Group ' || team]
  FROM made WHERE whatsapp;
INSERT INTO pbx.offers (id, call_id, agent_id, started_at, ended_at, outcome, reason, group_name)
SELECT md5(id::text || k)::uuid, id, lpad(to_hex(CASE k WHEN 1 THEN agent ELSE 1 + agent % 200 END), 32, '0')::uuid,
       at + interval '1 s', at + waits * interval '1 s', CASE WHEN k = 1 AND talks THEN 'answered' ELSE 'missed' END, 'why', 'Group ' || team
  FROM made, generate_series(1, 1 + n % 4 / 2) k WHERE whatsapp;
INSERT INTO pbx.recordings (id, call_id, file, seconds, started_at)
SELECT md5('r' || id)::uuid, id, to_char(at, 'YYYY/MM/DD/') || id || '.wav', waits + lasts, at FROM made WHERE whatsapp;
DROP TABLE made;
ALTER TABLE cdr.cdr ENABLE TRIGGER USER;
ALTER TABLE whatsapp.calls ENABLE TRIGGER USER;
ALTER TABLE pbx.calls ENABLE TRIGGER USER;
ALTER TABLE pbx.offers ENABLE TRIGGER USER;
ALTER TABLE pbx.recordings ENABLE TRIGGER USER;
SELECT reports.mark_missing('-infinity');

-- Call records at size, and the figures of agents and groups.
--
--   reports.records   one row per call that is over, made from all that is known of it
--   reports.dirty     calls whose row is to be made (again): triggers on what a row is made of write it, and nothing else
--   reports.refresh   makes these rows; the application does it all the time (nothing is lost while it does not)
--   reports.compute   what a row is, from CDRs, bridge and application: the only definition
-- The view reports.call_records takes a dirty call from `compute`, all others from `records`: it is right at any moment.

CREATE TABLE reports.records (
    linkedid          text PRIMARY KEY,
    call_id           uuid,
    channel_type      text NOT NULL,
    direction         text NOT NULL,
    user_number       text,
    user_name         text,
    business_number   text,
    agent_id          uuid,
    agent_endpoint    text,
    groups            text[] NOT NULL,
    group_name        text,
    path              text[] NOT NULL,
    offers            jsonb NOT NULL,
    started_at        timestamptz NOT NULL,
    queued_at         timestamptz,
    answered_at       timestamptz,
    ended_at          timestamptz,
    wait_seconds      bigint NOT NULL,
    queue_seconds     bigint,
    ring_seconds      bigint,
    talk_seconds      bigint NOT NULL,
    hold_seconds      bigint,
    status            text NOT NULL,
    ended_by          text,
    reason            text,
    refusal           text,
    meta_call_id      text,
    meta_status       text,
    meta_error_code   integer,
    meta_error_text   text,
    meta_seconds      integer,
    hangup_cause      integer,
    disposition       text,
    recording_id      uuid,
    recording_file    text,
    recording_seconds double precision,
    voicemail_id      uuid,
    voicemail_file    text,
    voicemail_seconds double precision,
    payload           text
);
COMMENT ON TABLE reports.records IS 'What reports.call_records is made of. Kept by reports.refresh; query the view';

-- What is filtered by, then the time: a page of a filtered list is read in its order and no further.
CREATE INDEX ON reports.records (started_at, linkedid);
CREATE INDEX ON reports.records (agent_id, started_at, linkedid) WHERE agent_id IS NOT NULL;
CREATE INDEX ON reports.records (group_name, started_at, linkedid) WHERE group_name IS NOT NULL;
CREATE INDEX ON reports.records (business_number, started_at, linkedid);
CREATE INDEX ON reports.records (status, started_at, linkedid);
CREATE INDEX ON reports.records (wait_seconds, linkedid);
CREATE INDEX ON reports.records (talk_seconds, linkedid);
CREATE INDEX ON reports.records USING gin (groups);
CREATE INDEX ON reports.records (user_number COLLATE "C", started_at);
CREATE INDEX ON reports.records (lower(user_name) COLLATE "C", started_at) WHERE user_name IS NOT NULL;
CREATE INDEX ON reports.records (meta_call_id) WHERE meta_call_id IS NOT NULL;
CREATE INDEX ON reports.records (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX ON reports.records (((started_at AT TIME ZONE 'UTC')::date));
CREATE INDEX ON reports.records ((date_trunc('hour', started_at AT TIME ZONE 'UTC')));

-- No key: whoever inserts here waits for nobody.
CREATE TABLE reports.dirty (
    linkedid text NOT NULL,
    due      timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX ON reports.dirty (linkedid);
CREATE INDEX ON reports.dirty (due);
COMMENT ON TABLE reports.dirty IS 'Calls whose row in reports.records is missing or out of date';
COMMENT ON COLUMN reports.dirty.due IS 'Not to be made before: what belongs to the call may be on its way still';

CREATE INDEX ON pbx.calls (whatsapp_call_id) WHERE whatsapp_call_id IS NOT NULL;
CREATE INDEX ON pbx.offers (started_at);
CREATE INDEX ON pbx.voicemails (call_id);

ALTER TABLE pbx.calls ADD COLUMN hold_seconds integer CHECK (hold_seconds >= 0);
COMMENT ON COLUMN pbx.calls.hold_seconds IS 'How long the agent''s phone held the other side, s; null for calls of before this was kept';

CREATE FUNCTION reports.cause_text(cause integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE cause
        WHEN 0 THEN 'no cause told'
        WHEN 1 THEN 'number not in use'
        WHEN 3 THEN 'no route to the destination'
        WHEN 16 THEN 'hung up'
        WHEN 17 THEN 'busy'
        WHEN 18 THEN 'the phone did not respond'
        WHEN 19 THEN 'rang without an answer'
        WHEN 20 THEN 'subscriber absent'
        WHEN 21 THEN 'rejected'
        WHEN 22 THEN 'number changed'
        WHEN 26 THEN 'answered elsewhere'
        WHEN 27 THEN 'destination out of order'
        WHEN 28 THEN 'invalid number'
        WHEN 31 THEN 'ended without a reason'
        WHEN 34 THEN 'no free circuit'
        WHEN 38 THEN 'network out of order'
        WHEN 41 THEN 'temporary failure'
        WHEN 42 THEN 'congestion'
        WHEN 47 THEN 'no resources'
        WHEN 57 THEN 'not authorised'
        WHEN 58 THEN 'not possible at present'
        WHEN 65 THEN 'not implemented'
        WHEN 88 THEN 'incompatible destination'
        WHEN 102 THEN 'a timer ran out'
        WHEN 111 THEN 'protocol error'
        WHEN 127 THEN 'interworking, unspecified'
        ELSE 'cause ' || cause
    END;
COMMENT ON FUNCTION reports.cause_text IS 'A hangup cause of ITU-T Q.850 in words';

CREATE FUNCTION reports.seconds_between(began timestamptz, ended timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN greatest(0, round(extract(epoch FROM ended - began)))::bigint;
COMMENT ON FUNCTION reports.seconds_between IS 'Whole seconds, never negative; null when one of the two is';

-- Asterisk writes its CDR a moment after the end of a call that it had.
CREATE FUNCTION reports.grace() RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN interval '2 seconds';
COMMENT ON FUNCTION reports.grace IS 'So long after its end a call may still be without a CDR';

-- The row of each call that is over, of those asked for. A call in progress has none.
-- WhatsApp calls that never reached Asterisk, and calls of the application that have no CDR, have one all the same.
CREATE FUNCTION reports.compute(keys text[]) RETURNS SETOF reports.records
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
    SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
    IF cardinality(keys) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH call AS (
        SELECT key.linkedid, asterisk.started_at AS cdr_started_at, asterisk.ended_at AS cdr_ended_at, asterisk.dialled, asterisk.first,
               w, n.display_number, p, agent.id AS agent_id
          FROM (SELECT DISTINCT k AS linkedid FROM unnest(keys) k WHERE k <> '') key
          LEFT JOIN LATERAL (
              SELECT min(coalesce(c.start, c.calldate)) AS started_at, max(coalesce(c."end", c.start, c.calldate)) AS ended_at,
                     -- "PJSIP/1001-0000000a" is a channel of "PJSIP/1001"
                     max(substring(c.dstchannel FROM '^(.+)-[0-9a-f]{8}$'))
                         FILTER (WHERE c.dstchannel !~ '^(Local/|WebSocket/|PJSIP/whatsapp-target-)') AS dialled,
                     -- The CDR that stands for the call: that of the WhatsApp caller's dialplan channel, else of the first channel.
                     (array_agg(c ORDER BY c.whatsapp_call_id IS NULL, c.uniqueid <> c.linkedid, c.start, c.sequence))[1] AS first
                FROM cdr.cdr c
               WHERE c.linkedid = key.linkedid AND c.channel NOT LIKE 'Snoop/%' -- it only listens to others
          ) asterisk ON true
          -- One linkedid may have several calls at Meta, where a dialplan dials several users: the one that was taken.
          LEFT JOIN LATERAL (
              SELECT found.*
                FROM (SELECT * FROM whatsapp.calls c WHERE c.meta_call_id = (asterisk.first).whatsapp_call_id
                      UNION ALL
                      SELECT * FROM whatsapp.calls c WHERE c.linkedid = key.linkedid
                      UNION ALL
                      SELECT * FROM whatsapp.calls c
                       WHERE c.linkedid IS NULL
                         AND c.id = CASE WHEN key.linkedid ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN key.linkedid::uuid END
                     ) found
               ORDER BY found.meta_call_id IS DISTINCT FROM (asterisk.first).whatsapp_call_id,
                        found.state = 'ended', found.accepted_at, found.received_at
               LIMIT 1
          ) w ON true
          LEFT JOIN whatsapp.numbers n ON n.phone_number_id = w.phone_number_id
          LEFT JOIN LATERAL (
              SELECT found.*
                FROM (SELECT * FROM pbx.calls c WHERE c.linkedid = key.linkedid
                      UNION ALL
                      SELECT * FROM pbx.calls c WHERE c.whatsapp_call_id = (asterisk.first).whatsapp_call_id
                     ) found
               ORDER BY found.linkedid <> key.linkedid
               LIMIT 1
          ) p ON true
          LEFT JOIN pbx.agents agent
                 ON p.agent_id IS NULL AND agent.endpoint = CASE
                        WHEN coalesce(p.direction, w.direction) = 'outbound'
                            THEN substring((asterisk.first).channel FROM '^(.+)-[0-9a-f]{8}$')
                        ELSE asterisk.dialled
                    END
         WHERE (asterisk.started_at IS NOT NULL OR w.id IS NOT NULL OR p.id IS NOT NULL)
           -- Asterisk writes CDRs of single legs (an agent who refused) while the call goes on.
           AND coalesce(w.state, 'ended') = 'ended' AND coalesce(p.state, 'ended') = 'ended'
           AND (asterisk.started_at IS NOT NULL
                OR (p.id IS NULL AND w.linkedid IS NULL)
                OR greatest(w.ended_at, p.ended_at) < now() - reports.grace())
           -- The CDRs of the call may have got another linkedid, where Asterisk joined it with a second call.
           AND (asterisk.started_at IS NOT NULL
                OR NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.whatsapp_call_id = coalesce(w.meta_call_id, p.whatsapp_call_id)))
    ), told AS (
        SELECT c.linkedid, c.first, c.w, c.p, c.display_number, c.dialled, c.agent_id,
               coalesce((c.p).direction, (c.w).direction, 'internal') AS direction,
               coalesce(c.cdr_started_at, (c.p).received_at, (c.w).received_at) AS started_at,
               coalesce(c.cdr_ended_at, (c.p).ended_at, (c.w).ended_at) AS ended_at,
               CASE
                   WHEN (c.p).id IS NOT NULL THEN (c.p).connected_at
                   WHEN (c.w).direction = 'outbound' THEN (c.w).accepted_at
                   ELSE (c.first).answer
               END AS answered_at
          FROM call c
    )
    SELECT t.linkedid,
           coalesce((t.p).id, (t.w).id),
           CASE
               WHEN (t.p).channel_type IS NOT NULL THEN (t.p).channel_type
               WHEN (t.w).id IS NOT NULL THEN 'WhatsApp Call'
               ELSE coalesce((t.first).channel_type, 'Voice')
           END,
           t.direction,
           coalesce((t.w).user_number, nullif((t.p).caller_number, ''),
                    CASE WHEN t.direction <> 'outbound' THEN nullif((t.first).src, '') END, (t.w).user_id),
           coalesce((t.w).user_name, nullif((t.p).caller_name, ''),
                    CASE WHEN t.direction <> 'outbound' THEN substring((t.first).clid FROM '^"(.+)" <') END),
           coalesce(t.display_number, (t.p).number, (t.first).dst),
           took.agent_id,
           took.endpoint,
           way.groups,
           coalesce(o.answered_group, o.last_group, way.groups[cardinality(way.groups)]),
           coalesce((t.p).path, '{}'),
           coalesce(o.steps, '[]'),
           t.started_at,
           (t.p).queued_at,
           t.answered_at,
           t.ended_at,
           coalesce(reports.seconds_between(coalesce((t.p).received_at, t.started_at), coalesce(t.answered_at, t.ended_at)), 0),
           reports.seconds_between((t.p).queued_at, coalesce(t.answered_at, (t.p).ended_at)),
           CASE
               WHEN t.direction = 'outbound' THEN reports.seconds_between((t.w).ringing_at, coalesce(t.answered_at, (t.w).ended_at))
               WHEN (t.p).id IS NOT NULL THEN round(o.rang)::bigint
               ELSE reports.seconds_between(t.started_at, coalesce(t.answered_at, t.ended_at))
           END,
           coalesce(reports.seconds_between(t.answered_at, t.ended_at), 0),
           (t.p).hold_seconds::bigint,
           CASE
               WHEN t.direction <> 'outbound' AND (t.w).ended_by = 'system' AND t.answered_at IS NULL THEN 'Failed'
               WHEN (t.p).status IS NOT NULL THEN (t.p).status
               WHEN t.direction = 'outbound' THEN CASE
                   WHEN t.answered_at IS NOT NULL THEN 'Answered'
                   WHEN (t.w).hangup_cause = 17 THEN 'Declined'
                   WHEN (t.w).hangup_cause IN (18, 19) THEN 'No Answer'
                   WHEN (t.w).ended_by = 'pbx' THEN 'Cancelled'
                   ELSE 'Failed'
               END
               WHEN (t.first).disposition = 'ANSWERED' THEN 'Answered'
               WHEN (t.w).ended_by = 'user' THEN 'User Abandon'
               WHEN (t.w).hangup_cause IN (17, 21) OR (t.first).disposition = 'BUSY' THEN 'Rejected'
               WHEN (t.first).disposition IN ('FAILED', 'CONGESTION') THEN 'Failed'
               WHEN (t.first).disposition IS NULL THEN 'Failed'
               ELSE 'Missed'
           END,
           CASE
               WHEN t.direction <> 'outbound' AND (t.w).ended_by = 'system' THEN 'system'
               WHEN (t.p).ended_by IS NOT NULL THEN (t.p).ended_by
               WHEN (t.w).ended_by IN ('user', 'system') THEN (t.w).ended_by
               WHEN (t.w).ended_by = 'pbx' AND (t.direction = 'outbound' OR took.agent_id IS NOT NULL OR took.endpoint IS NOT NULL)
                   THEN 'agent'
               WHEN (t.w).ended_by = 'pbx' THEN 'system'
           END,
           CASE
               WHEN t.direction <> 'outbound' AND (t.w).ended_by = 'system' THEN (t.w).reason
               ELSE coalesce((t.p).reason, (t.w).reason)
           END,
           (t.p).refusal,
           coalesce((t.w).meta_call_id, (t.first).whatsapp_call_id, (t.p).whatsapp_call_id),
           (t.w).meta_status,
           (t.w).meta_error_code,
           (t.w).meta_error_text,
           (t.w).meta_duration,
           (t.w).hangup_cause,
           (t.first).disposition,
           recording.id, recording.file, recording.seconds::double precision,
           voicemail.id, voicemail.file, voicemail.seconds::double precision,
           (t.w).payload
      FROM told t
      CROSS JOIN LATERAL (
          SELECT coalesce((t.p).agent_id, a.id) AS agent_id, CASE WHEN coalesce((t.p).agent_id, a.id) IS NULL THEN a.endpoint END AS endpoint
            -- Of a call that the application has sent on into the dialplan, Asterisk knows who took it.
            FROM (SELECT CASE WHEN seen THEN t.agent_id END AS id,
                         CASE WHEN seen THEN
                             CASE WHEN t.direction = 'outbound' THEN substring((t.first).channel FROM '^(.+)-[0-9a-f]{8}$') ELSE t.dialled END
                         END AS endpoint
                    FROM (SELECT t.direction = 'outbound'
                                 OR ((t.first).disposition = 'ANSWERED' AND ((t.p).id IS NULL OR (t.p).connected_at IS NOT NULL)) AS seen
                         ) s
                 ) a
      ) took
      LEFT JOIN LATERAL (
          SELECT jsonb_agg(jsonb_build_object(
                     'agent', a.name, 'group', f.group_name, 'started_at', f.started_at,
                     'ring_seconds', round(extract(epoch FROM f.ended_at - f.started_at), 1),
                     'outcome', f.outcome, 'reason', f.reason) ORDER BY f.started_at, a.name) AS steps,
                 (array_agg(f.group_name) FILTER (WHERE f.outcome = 'answered'))[1] AS answered_group,
                 (array_agg(f.group_name ORDER BY f.started_at DESC) FILTER (WHERE f.group_name IS NOT NULL))[1] AS last_group,
                 array_agg(f.group_name ORDER BY f.started_at) FILTER (WHERE f.group_name IS NOT NULL) AS groups,
                 -- Phones that ring together ring once.
                 (SELECT sum(extract(epoch FROM upper(r) - lower(r)))
                    FROM unnest(range_agg(tstzrange(f.started_at, f.ended_at)) FILTER (WHERE f.ended_at IS NOT NULL)) r) AS rang
            FROM pbx.offers f JOIN pbx.agents a ON a.id = f.agent_id
           WHERE f.call_id = (t.p).id
      ) o ON true
      CROSS JOIN LATERAL (
          SELECT ARRAY(SELECT g
                         FROM (SELECT substr(step, 7) AS g, n FROM unnest((t.p).path) WITH ORDINALITY s (step, n) WHERE step LIKE 'group:%'
                               UNION ALL
                               SELECT g, 1000 + n FROM unnest(o.groups) WITH ORDINALITY s (g, n)) s
                        GROUP BY g ORDER BY min(n)) AS groups
      ) way
      LEFT JOIN LATERAL (
          SELECT r.id, r.file, r.seconds FROM pbx.recordings r
           WHERE r.call_id = (t.p).id AND r.seconds IS NOT NULL AND r.deleted_at IS NULL
           ORDER BY r.started_at LIMIT 1
      ) recording ON true
      LEFT JOIN LATERAL (
          SELECT v.id, v.file, v.seconds FROM pbx.voicemails v
           WHERE v.call_id = (t.p).id ORDER BY v.created_at DESC LIMIT 1
      ) voicemail ON true;
END $$;
COMMENT ON FUNCTION reports.compute IS 'The records of these calls as they are now';

-- What a record is made of has changed. A fault here must never keep Asterisk's CDR out: it becomes a warning in
-- PostgreSQL's log, and reports.mark_missing finds the call. No NOTIFY: a full queue would fail the CDR at its commit.
CREATE FUNCTION reports.mark_cdrs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO reports.dirty (linkedid) SELECT DISTINCT linkedid FROM changed WHERE linkedid <> '';
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'a call detail record is kept, but its call is not marked for reports: %', SQLERRM;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_new AFTER INSERT ON cdr.cdr
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_cdrs();
CREATE TRIGGER mark_before AFTER UPDATE ON cdr.cdr
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_cdrs();
CREATE TRIGGER mark_after AFTER UPDATE ON cdr.cdr
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_cdrs();
CREATE TRIGGER mark_gone AFTER DELETE ON cdr.cdr
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_cdrs();

CREATE FUNCTION reports.mark_call(linkedid text, meta_call_id text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    INSERT INTO reports.dirty (linkedid)
    SELECT mark_call.linkedid
     UNION
    SELECT c.linkedid FROM cdr.cdr c WHERE c.whatsapp_call_id = mark_call.meta_call_id AND c.linkedid <> '';
END;
CREATE FUNCTION reports.mark_whatsapp_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM reports.mark_call(coalesce(OLD.linkedid, OLD.id::text), OLD.meta_call_id);
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE'
        AND (coalesce(NEW.linkedid, NEW.id::text), NEW.meta_call_id) IS DISTINCT FROM (coalesce(OLD.linkedid, OLD.id::text), OLD.meta_call_id))
    THEN
        PERFORM reports.mark_call(coalesce(NEW.linkedid, NEW.id::text), NEW.meta_call_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_new AFTER INSERT OR DELETE ON whatsapp.calls FOR EACH ROW EXECUTE FUNCTION reports.mark_whatsapp_call();
-- What changes while a call goes on is no matter of records.
CREATE TRIGGER mark_changed AFTER UPDATE ON whatsapp.calls FOR EACH ROW
    WHEN (OLD.state = 'ended' OR NEW.state = 'ended') EXECUTE FUNCTION reports.mark_whatsapp_call();

CREATE FUNCTION reports.mark_pbx_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM reports.mark_call(OLD.linkedid, OLD.whatsapp_call_id);
    ELSE
        PERFORM reports.mark_call(NEW.linkedid, NEW.whatsapp_call_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER mark_new AFTER INSERT OR DELETE ON pbx.calls FOR EACH ROW EXECUTE FUNCTION reports.mark_pbx_call();
CREATE TRIGGER mark_changed AFTER UPDATE ON pbx.calls FOR EACH ROW
    WHEN (OLD.state = 'ended' OR NEW.state = 'ended') EXECUTE FUNCTION reports.mark_pbx_call();

-- Offers, recordings, messages: what is written of a call after its end.
CREATE FUNCTION reports.mark_parts() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO reports.dirty (linkedid)
    SELECT DISTINCT c.linkedid FROM changed JOIN pbx.calls c ON c.id = changed.call_id WHERE c.state = 'ended';
    RETURN NULL;
END $$;
DO $$
DECLARE
    part regclass;
BEGIN
    FOREACH part IN ARRAY ARRAY['pbx.offers', 'pbx.recordings', 'pbx.voicemails']::regclass[] LOOP
        EXECUTE format('CREATE TRIGGER mark_new AFTER INSERT ON %s REFERENCING NEW TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
        EXECUTE format('CREATE TRIGGER mark_changed AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
        EXECUTE format('CREATE TRIGGER mark_gone AFTER DELETE ON %s REFERENCING OLD TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
    END LOOP;
END $$;

-- Make the rows of up to `most` dirty calls, the newest first; how many calls that were. One at a time does it.
CREATE FUNCTION reports.refresh(most integer DEFAULT 500) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    keys text[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('reports.refresh', 0)) THEN
        RETURN 0;
    END IF;
    keys := ARRAY(SELECT DISTINCT d.linkedid
                    FROM (SELECT linkedid FROM reports.dirty WHERE due <= now() ORDER BY due DESC LIMIT most) d);
    IF cardinality(keys) = 0 THEN
        RETURN 0;
    END IF;
    -- First forget, then look: what is written meanwhile marks its call anew.
    DELETE FROM reports.dirty WHERE linkedid = ANY (keys);
    DELETE FROM reports.records WHERE linkedid = ANY (keys);
    INSERT INTO reports.records SELECT * FROM reports.compute(keys);
    INSERT INTO reports.dirty (linkedid, due)
    SELECT k, now() + reports.grace()
      FROM unnest(keys) k
     WHERE NOT EXISTS (SELECT FROM reports.records r WHERE r.linkedid = k)
       AND (EXISTS (SELECT FROM pbx.calls c WHERE c.linkedid = k AND c.ended_at >= now() - reports.grace())
            OR EXISTS (SELECT FROM whatsapp.calls c WHERE c.linkedid = k AND c.ended_at >= now() - reports.grace()));
    RETURN cardinality(keys);
END $$;
COMMENT ON FUNCTION reports.refresh IS 'Bring reports.records up to date with up to so many calls; how many were done';

-- Calls that have CDRs but neither a record nor a mark: rows that were written around the triggers.
CREATE FUNCTION reports.mark_missing(since timestamptz, until timestamptz DEFAULT 'infinity') RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    WITH marked AS (
        INSERT INTO reports.dirty (linkedid)
        SELECT DISTINCT c.linkedid
          FROM cdr.cdr c
         WHERE c.calldate >= since AND c.calldate < until AND c.linkedid <> ''
           AND NOT EXISTS (SELECT FROM reports.records r WHERE r.linkedid = c.linkedid)
           AND NOT EXISTS (SELECT FROM reports.dirty d WHERE d.linkedid = c.linkedid)
           AND NOT EXISTS (SELECT FROM pbx.calls p WHERE p.linkedid = c.linkedid AND p.state <> 'ended')
           AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.meta_call_id = c.whatsapp_call_id AND w.state <> 'ended')
           AND c.channel NOT LIKE 'Snoop/%'
        RETURNING 1)
    SELECT count(*) FROM marked;
END;
COMMENT ON FUNCTION reports.mark_missing IS 'Have the records made of calls whose CDRs were written around the triggers; how many';

-- What was there before this migration.
INSERT INTO reports.dirty (linkedid, due)
SELECT linkedid, least(max(calldate), now()) FROM cdr.cdr WHERE linkedid <> '' GROUP BY linkedid
 UNION
SELECT coalesce(linkedid, id::text), received_at FROM whatsapp.calls WHERE state = 'ended'
 UNION
SELECT linkedid, received_at FROM pbx.calls WHERE state = 'ended';

DROP VIEW reports.call_records;
CREATE VIEW reports.call_records AS
SELECT r.linkedid,
       r.channel_type,
       r.direction,
       r.user_number,
       r.user_name,
       r.business_number,
       coalesce(a.name, r.agent_endpoint) AS agent,
       r.started_at,
       r.answered_at,
       r.ended_at,
       r.wait_seconds,
       r.talk_seconds,
       reports.hh_mm_ss(r.talk_seconds) AS duration,
       r.status,
       r.ended_by,
       r.reason,
       r.meta_call_id,
       r.recording_file,
       r.recording_seconds,
       r.queued_at,
       r.queue_seconds,
       r.ring_seconds,
       r.hold_seconds,
       r.group_name,
       r.groups,
       r.path,
       r.offers,
       r.refusal,
       r.meta_status,
       r.meta_error_code,
       r.meta_error_text,
       r.meta_seconds,
       r.hangup_cause,
       reports.cause_text(r.hangup_cause) AS hangup_cause_text,
       r.disposition,
       r.voicemail_file,
       r.voicemail_seconds,
       r.payload,
       r.call_id,
       r.agent_id,
       r.recording_id,
       r.voicemail_id
  FROM (SELECT *, false AS live FROM reports.records
        UNION ALL
        SELECT *, true FROM reports.compute(ARRAY(SELECT linkedid FROM reports.dirty))) r
  LEFT JOIN pbx.agents a ON a.id = r.agent_id
 WHERE r.live OR NOT EXISTS (SELECT FROM reports.dirty d WHERE d.linkedid = r.linkedid);

COMMENT ON VIEW reports.call_records IS 'One row per call that is over, WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.linkedid IS 'Key: what all of the call''s CDRs share';
COMMENT ON COLUMN reports.call_records.channel_type IS 'WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.direction IS 'inbound, outbound, or internal (a call of the PBX, known from CDRs alone)';
COMMENT ON COLUMN reports.call_records.user_number IS 'The person at the other end: number, or Meta''s id where there is none';
COMMENT ON COLUMN reports.call_records.user_name IS 'Name as the person gave it; not to be trusted';
COMMENT ON COLUMN reports.call_records.business_number IS 'Inbound: the number that was called. Outbound: the number that called';
COMMENT ON COLUMN reports.call_records.agent IS 'Who took or made the call; the endpoint where it is nobody''s we know';
COMMENT ON COLUMN reports.call_records.started_at IS 'First ring; outbound: when the agent dialled';
COMMENT ON COLUMN reports.call_records.answered_at IS 'When user and agent could talk; null if never';
COMMENT ON COLUMN reports.call_records.ended_at IS 'When the last leg was gone';
COMMENT ON COLUMN reports.call_records.wait_seconds IS 'From the first ring to the agent, or to the end, s';
COMMENT ON COLUMN reports.call_records.talk_seconds IS 'From the answer to the end, holding included, s';
COMMENT ON COLUMN reports.call_records.duration IS 'talk_seconds as HH:MM:SS';
COMMENT ON COLUMN reports.call_records.status IS 'Answered, User Abandon, Missed, Voicemail, Rejected or Failed; outbound: Answered, Declined, No Answer, Failed or Cancelled';
COMMENT ON COLUMN reports.call_records.ended_by IS 'user, agent or system; null where a plain CDR does not tell';
COMMENT ON COLUMN reports.call_records.reason IS 'Why it ended as it did, in words';
COMMENT ON COLUMN reports.call_records.meta_call_id IS 'Meta''s call id, WhatsApp calls only';
COMMENT ON COLUMN reports.call_records.recording_file IS 'Stereo file in the recordings folder; null when there is none (any more)';
COMMENT ON COLUMN reports.call_records.recording_seconds IS 'Its length, s';
COMMENT ON COLUMN reports.call_records.queued_at IS 'When the caller began to wait for an agent; null if never';
COMMENT ON COLUMN reports.call_records.queue_seconds IS 'From queued_at to the agent, or to the end, s; null if the caller never waited';
COMMENT ON COLUMN reports.call_records.ring_seconds IS 'How long phones rang, s: inbound agents'' (together counts once), outbound the user''s; null if none did';
COMMENT ON COLUMN reports.call_records.hold_seconds IS 'How long the agent''s phone held the user, s; null where nobody looked';
COMMENT ON COLUMN reports.call_records.group_name IS 'The group that took the call, else the one that had it last';
COMMENT ON COLUMN reports.call_records.groups IS 'All groups that had the call, in order';
COMMENT ON COLUMN reports.call_records.path IS 'Where the caller went, in order: destinations, menus, digits, transfers';
COMMENT ON COLUMN reports.call_records.offers IS 'Phones that rang: [{agent, group, started_at, ring_seconds, outcome, reason}], in order; [] if none did';
COMMENT ON COLUMN reports.call_records.refusal IS 'Outbound: the rule that refused the call before Meta was asked; reason says it in words';
COMMENT ON COLUMN reports.call_records.meta_status IS 'How the call ended by Meta''s terminate webhook: COMPLETED or FAILED';
COMMENT ON COLUMN reports.call_records.meta_error_code IS 'Meta''s error code; null without an error';
COMMENT ON COLUMN reports.call_records.meta_error_text IS 'What Meta says of that error';
COMMENT ON COLUMN reports.call_records.meta_seconds IS 'Length as Meta bills it, s';
COMMENT ON COLUMN reports.call_records.hangup_cause IS 'Cause between PBX and bridge, ITU-T Q.850; WhatsApp calls only';
COMMENT ON COLUMN reports.call_records.hangup_cause_text IS 'The same in words';
COMMENT ON COLUMN reports.call_records.disposition IS 'Asterisk''s own word in the CDR that stands for the call; null if there is none';
COMMENT ON COLUMN reports.call_records.voicemail_file IS 'Message that the caller left; null if none';
COMMENT ON COLUMN reports.call_records.voicemail_seconds IS 'Its length, s';
COMMENT ON COLUMN reports.call_records.payload IS 'Payload of the call button or link by which the user called; not to be trusted';
COMMENT ON COLUMN reports.call_records.call_id IS 'Id of the call in the application''s (else the bridge''s) log and tables; null for calls that neither had';
COMMENT ON COLUMN reports.call_records.agent_id IS 'Id of the agent; null where agent is an endpoint or nobody';
COMMENT ON COLUMN reports.call_records.recording_id IS 'Id of the recording';
COMMENT ON COLUMN reports.call_records.voicemail_id IS 'Id of the message';

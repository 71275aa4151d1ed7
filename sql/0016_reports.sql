-- Call records at size, and the figures of agents and groups.
--
--   reports.records   one row per call that is over, made from all that is known of it
--   reports.dirty     calls whose row is to be made (again): triggers on what a row is made of write it, and nothing else
--   reports.refresh   makes these rows; the application does it all the time (nothing is lost while it does not)
--   reports.compute   what a row is, from CDRs, bridge and application: the only definition
-- The view reports.call_records takes a dirty call from `compute`, all others from `records`: it is right at any moment.
-- Only where more than 2000 calls are dirty (an old table was loaded), the older ones of them come as they are made.

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
    payload           text,
    fee_seconds       integer,
    cost              numeric(18, 6),
    currency          text
);
COMMENT ON TABLE reports.records IS 'What reports.call_records is made of. Kept by reports.refresh; query the view';

-- Lists are read in their order from the first index. The others serve filters that few calls pass, where reading on in
-- that order until a page is full would take long.
CREATE INDEX ON reports.records (started_at, linkedid);
CREATE INDEX ON reports.records (wait_seconds, linkedid);
CREATE INDEX ON reports.records (talk_seconds, linkedid);
CREATE INDEX ON reports.records (agent_id, started_at, linkedid) WHERE agent_id IS NOT NULL;
CREATE INDEX ON reports.records (agent_id, status, started_at, linkedid) WHERE agent_id IS NOT NULL;
CREATE INDEX ON reports.records USING gin (groups);
CREATE INDEX ON reports.records (status, started_at, linkedid);
CREATE INDEX ON reports.records (direction, channel_type, started_at, linkedid);
CREATE INDEX ON reports.records (business_number, channel_type, started_at, linkedid);
CREATE INDEX ON reports.records (user_number COLLATE "C", started_at);
CREATE INDEX ON reports.records (lower(user_name) COLLATE "C", started_at) WHERE user_name IS NOT NULL;
CREATE INDEX ON reports.records (meta_call_id) WHERE meta_call_id IS NOT NULL;
CREATE INDEX ON reports.records (call_id) WHERE call_id IS NOT NULL;
CREATE INDEX ON reports.records (((started_at AT TIME ZONE 'UTC')::date));
CREATE INDEX ON reports.records (date_bin('1 hour', started_at, '2000-01-01 00:00Z'));

-- Which values come together: a WhatsApp number has no voice calls, and such a filter must not be taken for a common one.
CREATE STATISTICS reports.records_together (mcv) ON channel_type, direction, status, business_number FROM reports.records;
ALTER STATISTICS reports.records_together SET STATISTICS 1000;

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
CREATE INDEX ON pbx.offers (((started_at AT TIME ZONE 'UTC')::date));
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

CREATE FUNCTION reports.bare_number(told text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN told ~ '^[+][0-9]+$' THEN substr(told, 2) ELSE nullif(told, '') END;
COMMENT ON FUNCTION reports.bare_number IS 'A number without +, as Meta and the tables of numbers have it; null for an empty one';

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
                       WHERE c.id = CASE WHEN key.linkedid ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN key.linkedid::uuid END
                         AND coalesce(c.linkedid, '') = '' -- in words that no index on linkedid serves: many may be null
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
           coalesce((t.w).user_number, reports.bare_number((t.p).caller_number),
                    CASE WHEN t.direction <> 'outbound' THEN reports.bare_number((t.first).src) END, (t.w).user_id),
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
                   WHEN (t.w).ended_by = 'user' AND (t.w).hangup_cause = 17 THEN 'Declined'
                   WHEN (t.w).ended_by = 'user' AND (t.w).hangup_cause IN (18, 19) THEN 'No Answer'
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
           (t.w).payload,
           charge.fee_seconds, charge.price, charge.currency
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
          OFFSET 0 -- once, not for each use
      ) way
      LEFT JOIN LATERAL (
          SELECT r.id, r.file, r.seconds FROM pbx.recordings r
           WHERE r.call_id = (t.p).id AND r.seconds IS NOT NULL AND r.deleted_at IS NULL
           ORDER BY r.started_at LIMIT 1
      ) recording ON true
      LEFT JOIN LATERAL (
          SELECT v.id, v.file, v.seconds FROM pbx.voicemails v
           WHERE v.call_id = (t.p).id ORDER BY v.created_at DESC LIMIT 1
      ) voicemail ON true
      LEFT JOIN pbx.charges charge ON charge.call_id = (t.p).id AND charge.settled_at IS NOT NULL;
END $$;
COMMENT ON FUNCTION reports.compute IS 'The records of these calls as they are now';

-- What a record is made of has changed. A fault here must never keep Asterisk's CDR out: it becomes a warning in
-- PostgreSQL's log, and reports.mark_missing finds the call. No NOTIFY: a full queue would fail the CDR at its commit.
CREATE FUNCTION reports.mark_cdrs() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO reports.dirty (linkedid)
    SELECT c.linkedid FROM changed c WHERE c.linkedid <> ''
     UNION
    -- Where Asterisk gave the CDR another linkedid meanwhile, the call had a record without it.
    SELECT coalesce(w.linkedid, w.id::text) FROM changed c JOIN whatsapp.calls w ON w.meta_call_id = c.whatsapp_call_id
     UNION
    SELECT p.linkedid FROM changed c JOIN pbx.calls p ON p.whatsapp_call_id = c.whatsapp_call_id;
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
CREATE FUNCTION reports.mark_whatsapp_call() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

CREATE FUNCTION reports.mark_pbx_call() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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

-- Offers, recordings, messages, charges: what is written of a call after its end.
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
    FOREACH part IN ARRAY ARRAY['pbx.offers', 'pbx.recordings', 'pbx.voicemails', 'pbx.charges']::regclass[] LOOP
        EXECUTE format('CREATE TRIGGER mark_new AFTER INSERT ON %s REFERENCING NEW TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
        EXECUTE format('CREATE TRIGGER mark_changed AFTER UPDATE ON %s REFERENCING NEW TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
        EXECUTE format('CREATE TRIGGER mark_gone AFTER DELETE ON %s REFERENCING OLD TABLE AS changed '
                       'FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_parts()', part);
    END LOOP;
END $$;

CREATE FUNCTION reports.mark_all() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO reports.dirty (linkedid) SELECT linkedid FROM reports.records;
    RETURN NULL;
END $$;
DO $$
DECLARE
    emptied regclass;
BEGIN
    FOREACH emptied IN ARRAY ARRAY['cdr.cdr', 'whatsapp.calls', 'pbx.calls', 'pbx.offers', 'pbx.recordings', 'pbx.voicemails',
                                   'pbx.charges']::regclass[] LOOP
        EXECUTE format('CREATE TRIGGER mark_all AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION reports.mark_all()', emptied);
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
       r.fee_seconds,
       r.cost,
       r.currency,
       r.call_id,
       r.agent_id,
       r.recording_id,
       r.voicemail_id
  FROM (SELECT *, false AS live FROM reports.records
        UNION ALL
        SELECT *, true FROM reports.compute(ARRAY(SELECT linkedid FROM reports.dirty ORDER BY due DESC LIMIT 2000))) r
  LEFT JOIN pbx.agents a ON a.id = r.agent_id
 WHERE r.live OR r.linkedid <> ALL (ARRAY(SELECT linkedid FROM reports.dirty ORDER BY due DESC LIMIT 2000));

COMMENT ON VIEW reports.call_records IS 'One row per call that is over, WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.linkedid IS 'Key: what all of the call''s CDRs share';
COMMENT ON COLUMN reports.call_records.channel_type IS 'WhatsApp Call or Voice';
COMMENT ON COLUMN reports.call_records.direction IS 'inbound, outbound, or internal (a call of the PBX, known from CDRs alone)';
COMMENT ON COLUMN reports.call_records.user_number IS 'The person at the other end: number without +, or Meta''s id where there is none';
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
COMMENT ON COLUMN reports.call_records.fee_seconds IS 'Outbound: answered time that is charged, in started pulses, s; null where nothing is charged';
COMMENT ON COLUMN reports.call_records.cost IS 'Outbound: what the call cost; null where calls cost nothing here, and until it is settled';
COMMENT ON COLUMN reports.call_records.currency IS 'Of cost, ISO 4217';
COMMENT ON COLUMN reports.call_records.call_id IS 'Id of the call in the application''s (else the bridge''s) log and tables; null for calls that neither had';
COMMENT ON COLUMN reports.call_records.agent_id IS 'Id of the agent; null where agent is an endpoint or nobody';
COMMENT ON COLUMN reports.call_records.recording_id IS 'Id of the recording';
COMMENT ON COLUMN reports.call_records.voicemail_id IS 'Id of the message';

CREATE VIEW reports.offers AS
SELECT o.started_at,
       a.name AS agent,
       o.group_name,
       o.outcome,
       reports.seconds_between(o.started_at, o.ended_at) AS ring_seconds,
       o.reason,
       o.cause,
       reports.cause_text(o.cause) AS cause_text,
       o.ended_at,
       c.channel_type,
       c.direction,
       c.caller_number AS user_number,
       c.number AS business_number,
       c.status AS call_status,
       c.linkedid,
       o.agent_id,
       o.id AS offer_id
  FROM pbx.offers o
  JOIN pbx.calls c ON c.id = o.call_id
  JOIN pbx.agents a ON a.id = o.agent_id;
COMMENT ON VIEW reports.offers IS 'Each time an agent''s phone rang for a call, also of calls in progress';
COMMENT ON COLUMN reports.offers.started_at IS 'When the phone began to ring';
COMMENT ON COLUMN reports.offers.agent IS 'Whose phone';
COMMENT ON COLUMN reports.offers.group_name IS 'For which group; null when the agent was dialled directly';
COMMENT ON COLUMN reports.offers.outcome IS 'answered, rejected, missed, cancelled (the call ended first) or failed (unreachable); null while it rings';
COMMENT ON COLUMN reports.offers.ring_seconds IS 'How long it rang, s; null while it rings';
COMMENT ON COLUMN reports.offers.reason IS 'The outcome in words';
COMMENT ON COLUMN reports.offers.cause IS 'Cause of the agent''s channel where it was not answered, ITU-T Q.850';
COMMENT ON COLUMN reports.offers.cause_text IS 'The same in words';
COMMENT ON COLUMN reports.offers.ended_at IS 'When it stopped ringing; null while it rings';
COMMENT ON COLUMN reports.offers.channel_type IS 'WhatsApp Call or Voice';
COMMENT ON COLUMN reports.offers.direction IS 'Of the call';
COMMENT ON COLUMN reports.offers.user_number IS 'Who called';
COMMENT ON COLUMN reports.offers.business_number IS 'The number that was called';
COMMENT ON COLUMN reports.offers.call_status IS 'How the call ended in the end; null while it goes on';
COMMENT ON COLUMN reports.offers.linkedid IS 'The call: key of reports.call_records';
COMMENT ON COLUMN reports.offers.agent_id IS 'Id of the agent';
COMMENT ON COLUMN reports.offers.offer_id IS 'Key';

-- The figures of days and hours are functions of a time zone, and views of them in UTC. A view's filter on day or hour
-- reaches the indexes because PostgreSQL merges such a function (one SELECT, stable, without SET) into the query.

CREATE FUNCTION reports.agent_day(from_day date, to_day date, zone text DEFAULT 'UTC')
RETURNS TABLE (day date, agent text, offers bigint, answered bigint, rejected bigint, missed bigint, failed bigint,
               ring_seconds numeric, calls_taken bigint, calls_made bigint, calls_made_answered bigint, talk_seconds numeric,
               hold_seconds numeric, average_talk_seconds numeric, first_call_at timestamptz, last_call_at timestamptz, agent_id uuid)
LANGUAGE sql STABLE AS $$
    SELECT (f.at AT TIME ZONE zone)::date, f.agent, count(f.outcome), count(*) FILTER (WHERE f.outcome = 'answered'),
           count(*) FILTER (WHERE f.outcome = 'rejected'), count(*) FILTER (WHERE f.outcome = 'missed'),
           count(*) FILTER (WHERE f.outcome = 'failed'), coalesce(sum(f.ring_seconds), 0),
           count(*) FILTER (WHERE f.direction <> 'outbound' AND f.talked), count(*) FILTER (WHERE f.direction = 'outbound'),
           count(*) FILTER (WHERE f.direction = 'outbound' AND f.talked), coalesce(sum(f.talk_seconds), 0),
           coalesce(sum(f.hold_seconds), 0), round(avg(f.talk_seconds) FILTER (WHERE f.talked), 1),
           min(f.at) FILTER (WHERE f.direction IS NOT NULL), max(f.at) FILTER (WHERE f.direction IS NOT NULL), f.agent_id
      FROM (SELECT r.started_at AS at, r.agent_id, r.agent, NULL AS outcome, NULL AS ring_seconds, r.direction,
                   r.answered_at IS NOT NULL AS talked, r.talk_seconds, r.hold_seconds
              FROM reports.call_records r
             WHERE r.agent_id IS NOT NULL
             UNION ALL
            SELECT o.started_at, o.agent_id, o.agent, o.outcome, o.ring_seconds, NULL, NULL, NULL, NULL
              FROM reports.offers o) f
     WHERE f.at >= from_day::timestamp AT TIME ZONE zone AND f.at < (to_day + 1)::timestamp AT TIME ZONE zone
     GROUP BY 1, f.agent_id, f.agent
$$;
COMMENT ON FUNCTION reports.agent_day IS 'What each agent did on these days (the last one included), days of a time zone such as Europe/Berlin';

CREATE VIEW reports.agent_day AS SELECT * FROM reports.agent_day('-infinity', 'infinity', 'UTC');
COMMENT ON VIEW reports.agent_day IS 'What each agent did on each day, UTC; the function of the same name takes days and a time zone';
COMMENT ON COLUMN reports.agent_day.day IS 'On which the call or the ringing began';
COMMENT ON COLUMN reports.agent_day.agent IS 'The agent''s name';
COMMENT ON COLUMN reports.agent_day.offers IS 'How often the phone rang for callers who waited';
COMMENT ON COLUMN reports.agent_day.answered IS 'Of these: answered';
COMMENT ON COLUMN reports.agent_day.rejected IS 'Of these: rejected';
COMMENT ON COLUMN reports.agent_day.missed IS 'Of these: rung in vain';
COMMENT ON COLUMN reports.agent_day.failed IS 'Of these: the phone could not be reached. What is left was cancelled: the caller hung up first';
COMMENT ON COLUMN reports.agent_day.ring_seconds IS 'How long the phone rang for them altogether, s';
COMMENT ON COLUMN reports.agent_day.calls_taken IS 'Calls that the agent took, whichever way they came';
COMMENT ON COLUMN reports.agent_day.calls_made IS 'Calls that the agent made to WhatsApp users';
COMMENT ON COLUMN reports.agent_day.calls_made_answered IS 'Of these: the user answered';
COMMENT ON COLUMN reports.agent_day.talk_seconds IS 'In all calls, holding included, s';
COMMENT ON COLUMN reports.agent_day.hold_seconds IS 'Of this: holding, s';
COMMENT ON COLUMN reports.agent_day.average_talk_seconds IS 'Per answered call, s; null without one';
COMMENT ON COLUMN reports.agent_day.first_call_at IS 'Start of the first call; null without one';
COMMENT ON COLUMN reports.agent_day.last_call_at IS 'Start of the last call; null without one';
COMMENT ON COLUMN reports.agent_day.agent_id IS 'Id of the agent';

CREATE VIEW reports.groups AS SELECT name AS group_name, service_level_seconds, wrap_up_seconds FROM pbx.groups;
COMMENT ON VIEW reports.groups IS 'Groups of agents as they are set now, as far as reports need them';
COMMENT ON COLUMN reports.groups.group_name IS 'Key';
COMMENT ON COLUMN reports.groups.service_level_seconds IS 'A caller should have an agent within this time, s';
COMMENT ON COLUMN reports.groups.wrap_up_seconds IS 'So long after a call the agent gets no next one, s';

CREATE FUNCTION reports.group_hour(since timestamptz, until timestamptz, zone text DEFAULT 'UTC')
RETURNS TABLE (hour timestamptz, group_name text, calls bigint, answered bigint, answered_in_time bigint, abandoned bigint,
               abandoned_in_time bigint, voicemails bigint, missed bigint, passed_on bigint, service_level numeric,
               average_wait_seconds numeric, longest_wait_seconds bigint, average_talk_seconds numeric,
               average_handle_seconds numeric, service_level_seconds integer)
LANGUAGE sql STABLE AS $$
    SELECT c.hour, c.name, count(*),
           count(*) FILTER (WHERE c.taken),
           count(*) FILTER (WHERE c.taken AND c.in_time),
           count(*) FILTER (WHERE c.stayed AND c.status = 'User Abandon'),
           count(*) FILTER (WHERE c.stayed AND c.status = 'User Abandon' AND c.in_time),
           count(*) FILTER (WHERE c.stayed AND c.status = 'Voicemail'),
           count(*) FILTER (WHERE c.stayed AND c.status NOT IN ('Answered', 'User Abandon', 'Voicemail')),
           count(*) FILTER (WHERE NOT c.stayed),
           round(100.0 * count(*) FILTER (WHERE c.taken AND c.in_time) / nullif(count(*) FILTER (WHERE c.stayed), 0), 1),
           round(avg(c.queue_seconds) FILTER (WHERE c.taken), 1),
           max(c.queue_seconds) FILTER (WHERE c.stayed),
           round(avg(c.talk_seconds) FILTER (WHERE c.taken), 1),
           round(avg(c.talk_seconds + c.wrap_up_seconds) FILTER (WHERE c.taken), 1),
           c.service_level_seconds
      FROM (SELECT CASE zone
                       WHEN 'UTC' THEN date_bin('1 hour', r.started_at, '2000-01-01 00:00Z')
                       ELSE date_trunc('hour', r.started_at, zone)
                   END AS hour,
                   had.name, r.status, r.queue_seconds, r.talk_seconds, g.wrap_up_seconds, g.service_level_seconds,
                   r.group_name = had.name AS stayed, r.group_name = had.name AND r.status = 'Answered' AS taken,
                   r.queue_seconds <= g.service_level_seconds AS in_time
              FROM reports.call_records r
             CROSS JOIN LATERAL unnest(r.groups) had (name)
              LEFT JOIN reports.groups g ON g.group_name = had.name
             WHERE r.started_at >= since AND r.started_at < until) c
     GROUP BY c.hour, c.name, c.service_level_seconds
$$;
COMMENT ON FUNCTION reports.group_hour IS 'How each group did in each hour between two moments, hours of a time zone such as Asia/Kolkata';

CREATE VIEW reports.group_hour AS SELECT * FROM reports.group_hour('-infinity', 'infinity', 'UTC');
COMMENT ON VIEW reports.group_hour IS 'How each group did in each hour, UTC; the function of the same name takes a range and a time zone';
COMMENT ON COLUMN reports.group_hour.hour IS 'In which the call began: the start of the hour';
COMMENT ON COLUMN reports.group_hour.group_name IS 'The group; a call that went through several counts in each';
COMMENT ON COLUMN reports.group_hour.calls IS 'Calls that the group had';
COMMENT ON COLUMN reports.group_hour.answered IS 'Of these: taken by an agent of this group';
COMMENT ON COLUMN reports.group_hour.answered_in_time IS 'Of these: within the group''s service_level_seconds, counted from when the caller began to wait';
COMMENT ON COLUMN reports.group_hour.abandoned IS 'Calls whose callers hung up while this group had them';
COMMENT ON COLUMN reports.group_hour.abandoned_in_time IS 'Of these: within service_level_seconds';
COMMENT ON COLUMN reports.group_hour.voicemails IS 'Calls that ended with a message, this group having been the last to have them';
COMMENT ON COLUMN reports.group_hour.missed IS 'Calls that ended otherwise without an agent, this group having been the last to have them';
COMMENT ON COLUMN reports.group_hour.passed_on IS 'Calls that went on to another group';
COMMENT ON COLUMN reports.group_hour.service_level IS 'answered_in_time in per cent of calls without passed_on; null when there are none';
COMMENT ON COLUMN reports.group_hour.average_wait_seconds IS 'Of answered calls, from when the caller began to wait, s';
COMMENT ON COLUMN reports.group_hour.longest_wait_seconds IS 'Of all calls but those passed on, s';
COMMENT ON COLUMN reports.group_hour.average_talk_seconds IS 'Of answered calls, holding included, s';
COMMENT ON COLUMN reports.group_hour.average_handle_seconds IS 'Talk, and the group''s wrap-up time as it is set now, s';
COMMENT ON COLUMN reports.group_hour.service_level_seconds IS 'The group''s setting as it is now, s; null for a group that is no more';

-- What does not fit together among Meta, Asterisk and the application, and why.
CREATE VIEW reports.reconciliation AS
SELECT w.received_at AS at,
       'Meta call without CDR' AS kind,
       w.linkedid, w.meta_call_id, w.id AS call_id,
       NULL::bigint AS seconds_here, w.meta_duration AS seconds_at_meta,
       CASE
           WHEN w.linkedid IS NULL THEN 'it never went into Asterisk: ' || coalesce(w.reason, 'the bridge does not say why')
           WHEN EXISTS (SELECT FROM pbx.calls p WHERE p.linkedid = w.linkedid OR p.whatsapp_call_id = w.meta_call_id)
               THEN 'Asterisk had the call, but its CDR did not come: look for cdr_pgsql in Asterisk''s log at that time, '
                    'and for unanswered = yes in cdr.conf'
           ELSE 'it was on its way into Asterisk, and no CDR came: Asterisk was restarted, or cdr_pgsql had no connection; '
                'the bridge says: ' || coalesce(w.reason, 'nothing')
       END AS why
  FROM whatsapp.calls w
 WHERE w.state = 'ended' AND w.ended_at < now() - reports.grace()
   AND NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = w.linkedid)
   AND NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.whatsapp_call_id = w.meta_call_id)
UNION ALL
SELECT c.calldate, 'CDR without Meta call', c.linkedid, c.whatsapp_call_id, NULL, c.billsec, NULL,
       CASE
           WHEN EXISTS (SELECT FROM whatsapp.webhook_events e WHERE e.meta_call_id = c.whatsapp_call_id)
               THEN 'Meta told of the call, and the bridge has no row of it: whatsapp.calls was restored from a backup, or rows were deleted'
           ELSE 'the bridge never heard of this call: the dialplan set CDR(whatsapp_call_id) by itself, '
                'or a bridge with another database had the call'
       END
  FROM cdr.cdr c
 WHERE c.whatsapp_call_id IS NOT NULL
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.meta_call_id = c.whatsapp_call_id)
UNION ALL
SELECT c.calldate, 'CDR of a WhatsApp call that Meta never had', c.linkedid, NULL, NULL, c.billsec, NULL,
       'it was dialled in Asterisk and did not come to the bridge: the bridge was away, or the dialplan ended the call before'
  FROM cdr.cdr c
 WHERE c.channel_type = 'WhatsApp Call' AND c.whatsapp_call_id IS NULL AND c.uniqueid = c.linkedid
   AND NOT EXISTS (SELECT FROM cdr.cdr o WHERE o.linkedid = c.linkedid AND o.whatsapp_call_id IS NOT NULL)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.linkedid = c.linkedid)
   AND NOT EXISTS (SELECT FROM pbx.calls p WHERE p.linkedid = c.linkedid)
UNION ALL
SELECT p.received_at, 'application call without CDR', p.linkedid, p.whatsapp_call_id, p.id,
       reports.seconds_between(p.connected_at, p.ended_at), NULL,
       CASE p.channel_type
           WHEN 'WhatsApp Call' THEN 'neither Asterisk nor the bridge has it: their tables were emptied, or Asterisk was restarted meanwhile'
           ELSE 'Asterisk was restarted during the call, cdr_pgsql had no connection, or the dialplan switched the CDR off'
       END || '; the application says: ' || coalesce(p.reason, 'nothing')
  FROM pbx.calls p
 WHERE p.state = 'ended' AND p.ended_at < now() - reports.grace()
   AND NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = p.linkedid)
   AND NOT EXISTS (SELECT FROM cdr.cdr c WHERE c.whatsapp_call_id = p.whatsapp_call_id)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.linkedid = p.linkedid)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.meta_call_id = p.whatsapp_call_id)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.id = p.id)
UNION ALL
SELECT p.received_at, 'outbound call that Meta never had', p.linkedid, NULL, p.id, NULL, NULL,
       'no rule refused it, and it did not come to the bridge; the application says: ' || coalesce(p.reason, 'nothing')
  FROM pbx.calls p
 WHERE p.state = 'ended' AND p.direction = 'outbound' AND p.channel_type = 'WhatsApp Call' AND p.refusal IS NULL
   AND EXISTS (SELECT FROM cdr.cdr c WHERE c.linkedid = p.linkedid)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.linkedid = p.linkedid)
   AND NOT EXISTS (SELECT FROM whatsapp.calls w WHERE w.id = p.id)
UNION ALL
SELECT w.received_at, 'lengths differ', w.linkedid, w.meta_call_id, w.id,
       reports.seconds_between(w.accepted_at, w.ended_at), w.meta_duration,
       CASE
           WHEN w.accepted_at IS NULL THEN 'Meta bills a call that was not answered here: the reply to the accept got lost, or came after the end'
           WHEN reports.seconds_between(w.accepted_at, w.ended_at) > w.meta_duration
               THEN 'here it lasted longer: Meta''s terminate came late, or the bridge was restarted during the call'
           ELSE 'at Meta it lasted longer: the terminate of the bridge came late or not at all (' || coalesce(w.reason, 'no reason told') || ')'
       END
  FROM whatsapp.calls w
 WHERE w.state = 'ended' AND w.meta_duration IS NOT NULL
   AND abs(coalesce(reports.seconds_between(w.accepted_at, w.ended_at), 0) - w.meta_duration) > 2
UNION ALL
SELECT w.received_at, 'open, though over', w.linkedid, w.meta_call_id, w.id, c.billsec, w.meta_duration,
       'Asterisk has ended the call and the bridge has not: it is stopped, or PostgreSQL was away at the end; its next start ends it'
  FROM whatsapp.calls w
  JOIN cdr.cdr c ON c.whatsapp_call_id = w.meta_call_id AND c."end" < now() - interval '1 minute'
 WHERE w.state <> 'ended'
UNION ALL
SELECT p.received_at, 'open, though over', p.linkedid, p.whatsapp_call_id, p.id, c.billsec, NULL,
       'Asterisk has ended the call and the application has not: it is stopped, or PostgreSQL was away at the end; its next start ends it'
  FROM pbx.calls p
  JOIN cdr.cdr c ON c.linkedid = p.linkedid AND c."end" < now() - interval '1 minute'
                AND CASE WHEN p.whatsapp_call_id IS NULL THEN c.uniqueid = c.linkedid ELSE c.whatsapp_call_id = p.whatsapp_call_id END
 WHERE p.state <> 'ended'
UNION ALL
SELECT c.calldate, 'CDR without linkedid', NULL, c.whatsapp_call_id, NULL, c.billsec, NULL,
       'no record can be made of it (uniqueid ' || c.uniqueid || '): it was loaded from a table without that column; '
       'UPDATE cdr.cdr SET linkedid = uniqueid WHERE linkedid = '''''
  FROM cdr.cdr c
 WHERE c.linkedid = '';
COMMENT ON VIEW reports.reconciliation IS 'Calls of which Meta, Asterisk and application do not say the same. Ask for a range of "at" where there are many calls';
COMMENT ON COLUMN reports.reconciliation.at IS 'When the call began';
COMMENT ON COLUMN reports.reconciliation.kind IS 'What does not fit';
COMMENT ON COLUMN reports.reconciliation.linkedid IS 'The call in Asterisk; null where it never got there';
COMMENT ON COLUMN reports.reconciliation.meta_call_id IS 'The call at Meta';
COMMENT ON COLUMN reports.reconciliation.call_id IS 'The call in the logs of bridge or application';
COMMENT ON COLUMN reports.reconciliation.seconds_here IS 'How long it lasted by our clock, from answer to end, s';
COMMENT ON COLUMN reports.reconciliation.seconds_at_meta IS 'How long by Meta''s, s';
COMMENT ON COLUMN reports.reconciliation.why IS 'The cause as far as it can be told, and where to look';

COMMENT ON COLUMN reports.invitations.id IS 'Key';
COMMENT ON COLUMN reports.invitations.business_number IS 'The number that asked';
COMMENT ON COLUMN reports.invitations.business_name IS 'Its name';
COMMENT ON COLUMN reports.invitations.user_number IS 'Who was asked: digits, or Meta''s id of a user who hides the number';
COMMENT ON COLUMN reports.invitations.status IS 'Invited, Accepted, Declined, Expired, Revoked or Failed';
COMMENT ON COLUMN reports.invitations.permanent IS 'Accepted for good; null until accepted';
COMMENT ON COLUMN reports.invitations.granted_until IS 'End of a permission for a time';
COMMENT ON COLUMN reports.invitations.requested_by IS 'Who had the user asked';
COMMENT ON COLUMN reports.invitations.agent IS 'For whom it was asked';
COMMENT ON COLUMN reports.invitations.invited_at IS 'When it was wanted';
COMMENT ON COLUMN reports.invitations.sent_at IS 'When Meta took the message; null if it did not';
COMMENT ON COLUMN reports.invitations.answered_at IS 'When the user answered';
COMMENT ON COLUMN reports.invitations.meta_error_code IS 'Meta''s error code where it could not be sent';
COMMENT ON COLUMN reports.invitations.reason IS 'Why it could not be sent, in words';

CREATE FUNCTION reports.spreadsheet(told text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN told ~ '^[[:space:]]*[=+@-]' AND told !~ '^[+-]?[0-9]+$' THEN '''' || told ELSE told END;
COMMENT ON FUNCTION reports.spreadsheet IS 'A text that no spreadsheet takes for a formula';

CREATE FUNCTION reports.grant_to(reader name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seen text;
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA reports, cdr TO %I', reader);
    EXECUTE format('GRANT SELECT ON cdr.cdr TO %I', reader);
    FOR seen IN SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'reports'::regnamespace AND c.relkind = 'v' LOOP
        EXECUTE format('GRANT SELECT ON %s TO %I', seen, reader);
    END LOOP;
    FOR seen IN SELECT p.oid::regprocedure FROM pg_proc p
                 WHERE p.pronamespace = 'reports'::regnamespace AND p.provolatile <> 'v' LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', seen, reader);
    END LOOP;
END $$;
COMMENT ON FUNCTION reports.grant_to IS 'Let a role read every view of this schema, and cdr.cdr, and nothing else. To be done again after an upgrade';
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA reports FROM PUBLIC;

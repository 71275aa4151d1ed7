-- For programs: tokens of the JSON API, answers that are kept so that nothing is done twice, and call events told to the
-- administrator's systems.
--   pbx_facts  wakes the console:  "webhook:<id>" (there is something to deliver)

CREATE TABLE console.tokens (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_hash   bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    name         text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    user_id      uuid NOT NULL REFERENCES console.users ON DELETE CASCADE,
    role         text NOT NULL CHECK (role IN ('administrator', 'supervisor', 'agent', 'reporting')),
    agent_id     uuid REFERENCES pbx.agents ON DELETE CASCADE,
    groups       text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX ON console.tokens (user_id);
COMMENT ON TABLE console.tokens IS 'What programs sign in with. A token is worth nothing while its user is disabled';
COMMENT ON COLUMN console.tokens.token_hash IS 'SHA-256 of the token: who reads this table can be nobody';
COMMENT ON COLUMN console.tokens.role IS 'What it may do; of users who are no administrators only while it is their own role';
COMMENT ON COLUMN console.tokens.agent_id IS 'Whose calls and phone, where an administrator made it with another role; others'' tokens have their user''s';
COMMENT ON COLUMN console.tokens.groups IS 'Likewise the groups of a supervisor''s token';
COMMENT ON COLUMN console.tokens.last_used_at IS 'To a minute';

CREATE TABLE console.api_answers (
    token_id    uuid NOT NULL REFERENCES console.tokens ON DELETE CASCADE,
    key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
    fingerprint bytea NOT NULL,
    status      integer,
    body        text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (token_id, key)
);
CREATE INDEX ON console.api_answers (created_at);
COMMENT ON TABLE console.api_answers IS 'Requests with an Idempotency-Key, and what was answered. Kept for a day';
COMMENT ON COLUMN console.api_answers.fingerprint IS 'SHA-256 of method, address and body';
COMMENT ON COLUMN console.api_answers.status IS 'Null while it is being done, or when nobody knows whether it was';

CREATE TABLE console.webhooks (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 64),
    url         text NOT NULL CHECK (url ~ '^https?://' AND length(url) <= 1000),
    secret      bytea NOT NULL CHECK (length(secret) BETWEEN 24 AND 64),
    events      text[] NOT NULL CHECK (cardinality(events) > 0 AND events <@ ARRAY[
                    'call.received', 'call.ringing', 'call.answered', 'call.ended', 'voicemail.left',
                    'permission.changed']),
    enabled     boolean NOT NULL DEFAULT true,
    created_at  timestamptz NOT NULL DEFAULT now(),
    taken_until timestamptz
);
COMMENT ON TABLE console.webhooks IS 'Systems of the administrator that are told of call events';
COMMENT ON COLUMN console.webhooks.secret IS 'Key of the HMAC with which each delivery is signed';
COMMENT ON COLUMN console.webhooks.taken_until IS 'A console delivers to it just now; one at a time, so that events come in their order';

CREATE TABLE console.deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id   uuid NOT NULL REFERENCES console.webhooks ON DELETE CASCADE,
    event        text NOT NULL,
    event_id     uuid NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    data         jsonb NOT NULL,
    linkedid     text,
    body         text,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
    attempts     integer NOT NULL DEFAULT 0,
    since        timestamptz NOT NULL DEFAULT now(),
    due_at       timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    status       integer,
    fault        text CHECK (length(fault) <= 500),
    CHECK ((state = 'pending') = (ended_at IS NULL))
);
CREATE INDEX ON console.deliveries (webhook_id, id) WHERE state = 'pending';
CREATE INDEX ON console.deliveries (webhook_id, state, id);
CREATE INDEX ON console.deliveries (ended_at);
COMMENT ON TABLE console.deliveries IS 'What each system is told. A row is written in the transaction of what it tells of';
COMMENT ON COLUMN console.deliveries.event_id IS 'The same for all systems that are told';
COMMENT ON COLUMN console.deliveries.linkedid IS 'Of a call that is over: its record goes with it, and is read when it is there';
COMMENT ON COLUMN console.deliveries.body IS 'What is sent, the same at every attempt; null until the first';
COMMENT ON COLUMN console.deliveries.since IS 'When it was to be delivered first, or again; given up a day later';
COMMENT ON COLUMN console.deliveries.due_at IS 'The next attempt';
COMMENT ON COLUMN console.deliveries.state IS 'dead: given up after a day; it can be sent again';
COMMENT ON COLUMN console.deliveries.status IS 'HTTP status of the last attempt; null when there was no answer';

-- Nothing in here may fail what it tells of: no constraint is met that a row of pbx or whatsapp could break, and a system
-- that is being removed is waited for, not referred to.
CREATE FUNCTION console.tell(event text, data jsonb, linkedid text, delay interval) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    told_id uuid := gen_random_uuid();
    told uuid;
BEGIN
    FOR told IN
        INSERT INTO console.deliveries AS d (webhook_id, event, event_id, data, linkedid, due_at)
        SELECT w.id, tell.event, told_id, tell.data, tell.linkedid, now() + tell.delay
          FROM console.webhooks w
         WHERE w.enabled AND tell.event = ANY (w.events)
           FOR KEY SHARE
        RETURNING d.webhook_id
    LOOP
        PERFORM pg_notify('pbx_facts', 'webhook:' || told);
    END LOOP;
END $$;

CREATE FUNCTION console.tell_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM console.webhooks WHERE enabled) THEN
        RETURN NULL;
    END IF;
    PERFORM console.tell(
        CASE WHEN TG_OP = 'INSERT' THEN 'call.received'
             ELSE 'call.' || CASE NEW.state WHEN 'connected' THEN 'answered' ELSE NEW.state END END,
        jsonb_build_object(
            'call_id', NEW.id, 'linkedid', NEW.linkedid, 'channel_type', NEW.channel_type, 'direction', NEW.direction,
            'business_number', NEW.number, 'user_number', ltrim(NEW.caller_number, '+'), 'user_name', NEW.caller_name,
            'state', NEW.state, 'status', NEW.status,
            'agent', (SELECT name FROM pbx.agents WHERE id = NEW.agent_id)),
        CASE WHEN NEW.state = 'ended' THEN NEW.linkedid END,
        CASE WHEN NEW.state = 'ended' THEN interval '3 seconds' ELSE interval '0' END);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks_new AFTER INSERT ON pbx.calls FOR EACH ROW EXECUTE FUNCTION console.tell_call();
CREATE TRIGGER tell_webhooks AFTER UPDATE OF state ON pbx.calls FOR EACH ROW
    WHEN (NEW.state <> OLD.state AND NEW.state IN ('ringing', 'connected', 'ended'))
    EXECUTE FUNCTION console.tell_call();

CREATE FUNCTION console.tell_voicemail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM console.tell(
        'voicemail.left',
        jsonb_build_object(
            'voicemail_id', NEW.id, 'call_id', NEW.call_id, 'business_number', NEW.number, 'group', NEW.group_name,
            'seconds', NEW.seconds, 'linkedid', (SELECT linkedid FROM pbx.calls WHERE id = NEW.call_id)),
        NULL, interval '0');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks AFTER INSERT ON pbx.voicemails FOR EACH ROW EXECUTE FUNCTION console.tell_voicemail();

CREATE FUNCTION console.tell_permission() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.status = 'unknown' THEN
        RETURN NULL;
    END IF;
    PERFORM console.tell(
        'permission.changed',
        jsonb_build_object(
            'phone_number_id', NEW.phone_number_id, 'user_key', NEW.user_key, 'status', NEW.status,
            'expires_at', NEW.expires_at,
            'business_number', (SELECT display_number FROM whatsapp.numbers
                                 WHERE phone_number_id = NEW.phone_number_id)),
        NULL, interval '0');
    RETURN NULL;
END $$;
CREATE TRIGGER tell_webhooks_new AFTER INSERT ON whatsapp.permissions
    FOR EACH ROW EXECUTE FUNCTION console.tell_permission();
CREATE TRIGGER tell_webhooks AFTER UPDATE OF status, expires_at ON whatsapp.permissions FOR EACH ROW
    WHEN (NEW.status <> OLD.status OR NEW.expires_at IS DISTINCT FROM OLD.expires_at)
    EXECUTE FUNCTION console.tell_permission();

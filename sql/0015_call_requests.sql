-- Calls that somebody wants an agent to make: from a command, the console, or because a user accepted an invitation.
-- The application takes them (SKIP LOCKED), rings the agent's phone and, when it is answered, calls the user.
--   pbx_wanted  wakes the application:  "call_request:<id>"
--   pbx_facts   wakes the console:      "call_request:<id>:<state>"

CREATE TABLE pbx.call_requests (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id           uuid NOT NULL REFERENCES pbx.agents ON DELETE CASCADE,
    number             text CHECK (number ~ '^[0-9]{1,15}$'),
    user_key           text NOT NULL CHECK (length(user_key) BETWEEN 1 AND 128),
    origin             text NOT NULL CHECK (origin IN ('command', 'console', 'permission')),
    requested_by       text NOT NULL CHECK (length(requested_by) <= 128),
    permission_request uuid UNIQUE REFERENCES whatsapp.permission_requests,
    state              text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'taken', 'done', 'failed', 'expired')),
    call_id            uuid REFERENCES pbx.calls ON DELETE SET NULL,
    refusal            text CHECK (refusal ~ '^[a-z_]{1,40}$'),
    reason             text,
    wanted_at          timestamptz NOT NULL DEFAULT now(),
    not_after          timestamptz NOT NULL,
    taken_at           timestamptz,
    ended_at           timestamptz
);
CREATE INDEX ON pbx.call_requests (wanted_at) WHERE state IN ('wanted', 'taken');
COMMENT ON TABLE pbx.call_requests IS 'Outbound calls that were asked for, and what became of them';
COMMENT ON COLUMN pbx.call_requests.number IS 'Business number that shall call; null: that of the agent''s group';
COMMENT ON COLUMN pbx.call_requests.user_key IS 'E.164 digits without +, or Meta''s business-scoped id';
COMMENT ON COLUMN pbx.call_requests.not_after IS 'Not to be begun later';
COMMENT ON COLUMN pbx.call_requests.refusal IS 'Which rule refused it, for programs; reason says it in words';

CREATE FUNCTION pbx.tell_call_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'wanted' THEN
        PERFORM pg_notify('pbx_wanted', 'call_request:' || NEW.id);
    END IF;
    PERFORM pg_notify('pbx_facts', 'call_request:' || NEW.id || ':' || NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_call_request AFTER INSERT OR UPDATE OF state ON pbx.call_requests
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_call_request();

-- What the application needs beside it: the number of a group, and whether an agent wants to be called back.
ALTER TABLE pbx.groups ADD COLUMN calls_from text CHECK (calls_from ~ '^[0-9]{1,15}$');
COMMENT ON COLUMN pbx.groups.calls_from IS 'Business number with which its agents call WhatsApp users; null: the first number that leads to the group';
ALTER TABLE pbx.agents ADD COLUMN call_back boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN pbx.agents.call_back IS 'When a user accepts this agent''s invitation, the agent''s phone rings and the call is placed';
ALTER TABLE pbx.routes ADD COLUMN permission_prompt boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.routes.permission_prompt IS 'Agents see on their phones how long the caller may still be called';

-- A user accepts: in the same transaction the agent's call back is wanted, and never twice for one invitation.
CREATE FUNCTION pbx.call_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pbx.call_requests (agent_id, number, user_key, origin, requested_by, permission_request, not_after)
    SELECT a.id, n.display_number, NEW.user_key, 'permission', NEW.requested_by, NEW.id, NEW.call_back_until
      FROM pbx.agents a, whatsapp.numbers n
     WHERE a.id = NEW.agent_id AND a.enabled AND a.call_back
       AND n.phone_number_id = NEW.phone_number_id AND NEW.call_back_until > now()
    ON CONFLICT (permission_request) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER call_back AFTER UPDATE OF state ON whatsapp.permission_requests
    FOR EACH ROW WHEN (NEW.state = 'accepted' AND OLD.state <> 'accepted' AND NEW.call_back_until IS NOT NULL)
    EXECUTE FUNCTION pbx.call_back();

-- What a user who is called is known as.
CREATE INDEX ON whatsapp.calls (user_number, received_at) WHERE user_name IS NOT NULL;
CREATE INDEX ON whatsapp.calls (user_id, received_at) WHERE user_name IS NOT NULL;
CREATE INDEX ON whatsapp.permissions (user_key);
CREATE INDEX ON whatsapp.permissions (scoped_id) WHERE scoped_id IS NOT NULL;

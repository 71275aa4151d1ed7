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

-- The agent desk and the live page: what they show beside the queue's own tables, and what supervisors order.
--   pbx_wanted  wakes the application:  "order:<id>"
--   pbx_facts   wakes the console:      "call:<id>:<state>", "waiting:<group>", "device:<endpoint>", "order:<id>:<state>",
--                                       "desk:<agent id>" (something of this agent), "customer:<user key>" (of this person)

-- Calls, offers and places: whoever looks is told.
CREATE FUNCTION pbx.tell_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_facts', 'call:' || NEW.id || ':' || NEW.state);
    PERFORM pg_notify('pbx_facts', 'customer:' || left(ltrim(NEW.caller_number, '+'), 128));
    IF NEW.agent_id IS NOT NULL THEN
        PERFORM pg_notify('pbx_facts', 'desk:' || NEW.agent_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_call_new AFTER INSERT ON pbx.calls FOR EACH ROW EXECUTE FUNCTION pbx.tell_call();
CREATE TRIGGER tell_call AFTER UPDATE ON pbx.calls FOR EACH ROW
    WHEN (NEW.state <> OLD.state OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.path <> OLD.path)
    EXECUTE FUNCTION pbx.tell_call();

CREATE FUNCTION pbx.tell_offer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_facts', 'desk:' || NEW.agent_id);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_offer_new AFTER INSERT ON pbx.offers FOR EACH ROW EXECUTE FUNCTION pbx.tell_offer();
CREATE TRIGGER tell_offer AFTER UPDATE ON pbx.offers FOR EACH ROW
    WHEN (NEW.outcome IS DISTINCT FROM OLD.outcome) EXECUTE FUNCTION pbx.tell_offer();

CREATE FUNCTION pbx.tell_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_facts', 'waiting:' || CASE WHEN TG_OP = 'DELETE' THEN OLD.group_name ELSE NEW.group_name END);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_waiting AFTER INSERT OR UPDATE OR DELETE ON pbx.waiting
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_waiting();

CREATE FUNCTION pbx.tell_customer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_facts', 'customer:' || NEW.user_key);
    IF NEW.agent_id IS NOT NULL THEN
        PERFORM pg_notify('pbx_facts', 'desk:' || NEW.agent_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_customer AFTER INSERT OR UPDATE ON whatsapp.permission_requests
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_customer();
CREATE TRIGGER tell_customer AFTER INSERT OR UPDATE ON pbx.call_requests
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_customer();

CREATE INDEX ON pbx.calls (agent_id) WHERE state <> 'ended' AND agent_id IS NOT NULL;
CREATE INDEX ON pbx.calls (agent_id, ended_at) WHERE agent_id IS NOT NULL;
CREATE INDEX ON pbx.calls ((ltrim(caller_number, '+')), received_at);
CREATE INDEX ON pbx.offers (agent_id) WHERE outcome IS NULL;
CREATE INDEX ON whatsapp.permission_requests (user_key, wanted_at);
CREATE INDEX ON pbx.call_requests (agent_id, wanted_at);
CREATE INDEX ON pbx.call_requests (user_key, wanted_at);

-- Since when an agent stands as the agent does.
ALTER TABLE pbx.agent_states ADD COLUMN standing_since timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN pbx.agent_states.standing_since IS 'When the agent logged in or out, paused, or took up work again';
CREATE FUNCTION pbx.note_standing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.standing_since := now();
    RETURN NEW;
END $$;
CREATE TRIGGER note_standing BEFORE UPDATE ON pbx.agent_states FOR EACH ROW
    WHEN (NEW.logged_in <> OLD.logged_in OR NEW.pause_reason IS DISTINCT FROM OLD.pause_reason)
    EXECUTE FUNCTION pbx.note_standing();

-- Agents' phones as Asterisk tells of them. Not in pbx.agent_states: a row that is just being written there is passed
-- over when agents are reserved.
CREATE TABLE pbx.device_states (
    endpoint text PRIMARY KEY,
    state    text NOT NULL CHECK (length(state) <= 32),
    since    timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.device_states IS 'Written by the application whenever a phone''s state changes; read by people';
COMMENT ON COLUMN pbx.device_states.state IS 'Asterisk''s word: NOT_INUSE, INUSE, RINGING, UNAVAILABLE, …';
CREATE FUNCTION pbx.tell_device() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_facts', 'device:' || NEW.endpoint);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_device AFTER INSERT OR UPDATE ON pbx.device_states
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_device();

-- What supervisors want of a running call. Who may order what, the console checks; whether it can be done, the application.
CREATE TABLE pbx.orders (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind         text NOT NULL CHECK (kind IN ('listen', 'whisper', 'barge', 'hangup')),
    call_id      uuid NOT NULL REFERENCES pbx.calls ON DELETE CASCADE,
    agent_id     uuid REFERENCES pbx.agents ON DELETE CASCADE,
    user_id      uuid,
    requested_by text NOT NULL CHECK (length(requested_by) BETWEEN 1 AND 128),
    state        text NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'taken', 'active', 'done', 'failed')),
    reason       text,
    wanted_at    timestamptz NOT NULL DEFAULT now(),
    taken_at     timestamptz,
    active_at    timestamptz,
    ended_at     timestamptz,
    CHECK ((kind = 'hangup') = (agent_id IS NULL)),
    CHECK ((state IN ('done', 'failed')) = (ended_at IS NOT NULL))
);
CREATE INDEX ON pbx.orders (wanted_at) WHERE state IN ('wanted', 'taken', 'active');
CREATE UNIQUE INDEX one_order_at_a_time ON pbx.orders (agent_id) WHERE state IN ('wanted', 'taken', 'active');
CREATE INDEX ON pbx.orders (ended_at);
CREATE INDEX ON pbx.orders (call_id);
COMMENT ON TABLE pbx.orders IS 'Listening in, whispering, barging in and hanging up, as supervisors order it';
COMMENT ON COLUMN pbx.orders.agent_id IS 'The supervisor''s own agent: whose phone rings';
COMMENT ON COLUMN pbx.orders.user_id IS 'The console''s user who ordered it. No reference: the row outlives the user';
COMMENT ON COLUMN pbx.orders.state IS 'wanted, taken (the phone rings), active (the supervisor is in), done, failed (reason says why)';
CREATE FUNCTION pbx.tell_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'wanted' THEN
        PERFORM pg_notify('pbx_wanted', 'order:' || NEW.id);
    END IF;
    PERFORM pg_notify('pbx_facts', 'order:' || NEW.id || ':' || NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_order AFTER INSERT OR UPDATE OF state ON pbx.orders FOR EACH ROW EXECUTE FUNCTION pbx.tell_order();

-- What agents write down after a call.
CREATE TABLE pbx.wrap_up_codes (
    group_name text NOT NULL REFERENCES pbx.groups ON DELETE CASCADE ON UPDATE CASCADE,
    position   integer NOT NULL CHECK (position BETWEEN 1 AND 100),
    code       text NOT NULL CHECK (length(code) BETWEEN 1 AND 64),
    PRIMARY KEY (group_name, position),
    UNIQUE (group_name, code)
);
COMMENT ON TABLE pbx.wrap_up_codes IS 'What a call can have been about, as a group''s agents choose it';
CREATE TABLE pbx.call_notes (
    call_id    uuid PRIMARY KEY REFERENCES pbx.calls ON DELETE CASCADE,
    note       text NOT NULL DEFAULT '' CHECK (length(note) <= 4000),
    code       text CHECK (length(code) BETWEEN 1 AND 64),
    written_by text NOT NULL CHECK (length(written_by) BETWEEN 1 AND 128),
    written_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN pbx.call_notes.code IS 'The wrap-up code as it was called then; it outlives the list';

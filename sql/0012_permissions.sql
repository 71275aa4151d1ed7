-- May the business call this user? Wanted here by application, console and commands; asked and answered by the bridge.
--   whatsapp_wanted  wakes the bridge:                   "request:<id>", "check:<phone_number_id>:<user_key>"
--   whatsapp_facts   wakes the application and console:  "request:<id>:<state>", "permission:<phone_number_id>:<user_key>"

CREATE TABLE whatsapp.permissions (
    phone_number_id     text NOT NULL REFERENCES whatsapp.numbers ON DELETE CASCADE,
    user_key            text NOT NULL CHECK (length(user_key) BETWEEN 1 AND 128),
    scoped_id           text CHECK (length(scoped_id) BETWEEN 1 AND 128),
    status              text NOT NULL DEFAULT 'unknown' CHECK (status IN ('unknown', 'none', 'temporary', 'permanent')),
    expires_at          timestamptz,
    can_call            boolean,
    can_request         boolean,
    call_limit_until    timestamptz,
    request_limit_until timestamptz,
    check_wanted_at     timestamptz,
    checked_at          timestamptz,
    check_error         text,
    reply_at            timestamptz,
    told_at             timestamptz,
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (phone_number_id, user_key)
);
CREATE INDEX ON whatsapp.permissions (check_wanted_at) WHERE check_wanted_at IS NOT NULL;
CREATE INDEX ON whatsapp.permissions (expires_at) WHERE status = 'temporary';
CREATE INDEX ON whatsapp.permissions (phone_number_id, scoped_id) WHERE scoped_id IS NOT NULL;
COMMENT ON TABLE whatsapp.permissions IS 'What Meta said last of a user''s permission to be called by a number';
COMMENT ON COLUMN whatsapp.permissions.user_key IS 'E.164 digits without +, or Meta''s business-scoped id of a user who hides the number';
COMMENT ON COLUMN whatsapp.permissions.scoped_id IS 'Meta''s business-scoped id, where Meta named it beside the number';
COMMENT ON COLUMN whatsapp.permissions.status IS 'none: Meta says there is none; unknown: Meta was not asked yet';
COMMENT ON COLUMN whatsapp.permissions.expires_at IS 'End of a temporary permission; Meta sends no word when it comes';
COMMENT ON COLUMN whatsapp.permissions.can_call IS 'Meta''s own verdict on start_call, limits included; null when unknown';
COMMENT ON COLUMN whatsapp.permissions.can_request IS 'Meta''s own verdict on send_call_permission_request; null when unknown';
COMMENT ON COLUMN whatsapp.permissions.check_wanted_at IS 'Somebody wants Meta to be asked; null when nobody does';
COMMENT ON COLUMN whatsapp.permissions.checked_at IS 'When Meta was asked last, or told by itself';
COMMENT ON COLUMN whatsapp.permissions.check_error IS 'Why the last question has no answer; null when it has';
COMMENT ON COLUMN whatsapp.permissions.reply_at IS 'Meta''s time of the newest permission reply; older ones change nothing';
COMMENT ON COLUMN whatsapp.permissions.told_at IS 'When that reply came; an answer of Meta to a question asked before is out of date';

CREATE TABLE whatsapp.permission_requests (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    phone_number_id text NOT NULL REFERENCES whatsapp.numbers,
    user_key        text NOT NULL CHECK (length(user_key) BETWEEN 1 AND 128),
    state           text NOT NULL DEFAULT 'wanted'
                    CHECK (state IN ('wanted', 'sent', 'accepted', 'declined', 'expired', 'revoked', 'failed')),
    text            text CHECK (length(text) <= 1024),
    requested_by    text NOT NULL CHECK (length(requested_by) <= 128),
    agent_id        uuid REFERENCES pbx.agents ON DELETE SET NULL,
    call_back_until timestamptz,
    meta_message_id text UNIQUE CHECK (length(meta_message_id) <= 512),
    error_code      integer,
    error_text      text,
    permanent       boolean NOT NULL DEFAULT false,
    granted_until   timestamptz,
    attempts        integer NOT NULL DEFAULT 0,
    claimed_at      timestamptz,
    retry_at        timestamptz,
    wanted_at       timestamptz NOT NULL DEFAULT now(),
    sent_at         timestamptz,
    answered_at     timestamptz
);
CREATE INDEX ON whatsapp.permission_requests (phone_number_id, user_key, wanted_at);
CREATE INDEX ON whatsapp.permission_requests (wanted_at) WHERE state IN ('wanted', 'sent');
CREATE INDEX ON whatsapp.permission_requests (granted_until) WHERE state = 'accepted';
COMMENT ON TABLE whatsapp.permission_requests IS 'Invitations to allow calls: each one that was wanted, and what became of it';
COMMENT ON COLUMN whatsapp.permission_requests.state IS 'expired: not answered in time, or accepted and run out; revoked: accepted and taken back';
COMMENT ON COLUMN whatsapp.permission_requests.text IS 'What the message says; null: the number''s default';
COMMENT ON COLUMN whatsapp.permission_requests.requested_by IS 'For people: an agent''s name, a console user, or "command"';
COMMENT ON COLUMN whatsapp.permission_requests.agent_id IS 'For whom it was asked';
COMMENT ON COLUMN whatsapp.permission_requests.call_back_until IS 'If the user accepts until then, the agent''s phone rings and the call is placed; null: not';
COMMENT ON COLUMN whatsapp.permission_requests.error_code IS 'Meta''s code; while wanted, why it was put off';
COMMENT ON COLUMN whatsapp.permission_requests.granted_until IS 'End of the temporary permission that the user gave';
COMMENT ON COLUMN whatsapp.permission_requests.claimed_at IS 'A bridge is sending it: it is not sent again, whatever happens to that bridge';

CREATE FUNCTION whatsapp.tell_permission() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.check_wanted_at IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.check_wanted_at IS DISTINCT FROM OLD.check_wanted_at) THEN
        PERFORM pg_notify('whatsapp_wanted', 'check:' || NEW.phone_number_id || ':' || NEW.user_key);
    ELSE
        PERFORM pg_notify('whatsapp_facts', 'permission:' || NEW.phone_number_id || ':' || NEW.user_key);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_permission AFTER INSERT OR UPDATE ON whatsapp.permissions
    FOR EACH ROW EXECUTE FUNCTION whatsapp.tell_permission();

CREATE FUNCTION whatsapp.tell_permission_request() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'wanted' THEN
        PERFORM pg_notify('whatsapp_wanted', 'request:' || NEW.id);
    END IF;
    PERFORM pg_notify('whatsapp_facts', 'request:' || NEW.id || ':' || NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_permission_request AFTER INSERT OR UPDATE OF state ON whatsapp.permission_requests
    FOR EACH ROW EXECUTE FUNCTION whatsapp.tell_permission_request();

CREATE VIEW reports.invitations AS
SELECT r.id,
       n.display_number                                       AS business_number,
       n.name                                                 AS business_name,
       r.user_key                                             AS user_number,
       CASE r.state WHEN 'accepted' THEN 'Accepted' WHEN 'declined' THEN 'Declined' WHEN 'expired' THEN 'Expired'
                    WHEN 'revoked' THEN 'Revoked' WHEN 'failed' THEN 'Failed' ELSE 'Invited' END AS status,
       r.permanent,
       r.granted_until,
       r.requested_by,
       a.name                                                 AS agent,
       r.wanted_at                                            AS invited_at,
       r.sent_at,
       r.answered_at,
       CASE WHEN r.state IN ('failed', 'wanted') THEN r.error_code END AS meta_error_code,
       CASE WHEN r.state IN ('failed', 'wanted') THEN r.error_text END AS reason
  FROM whatsapp.permission_requests r
  JOIN whatsapp.numbers n USING (phone_number_id)
  LEFT JOIN pbx.agents a ON a.id = r.agent_id;
COMMENT ON VIEW reports.invitations IS 'Users who were asked to allow calls, and what they said: Invited, Accepted, Declined, Expired, Revoked, Failed';

-- Calls from the business to WhatsApp users, on both sides of the seam: whatsapp.calls is the bridge's row, pbx.calls
-- the application's. Where the application places the call, both have the same id.

ALTER TABLE whatsapp.calls
    ALTER COLUMN meta_call_id DROP NOT NULL,
    DROP CONSTRAINT calls_state_check,
    ADD CONSTRAINT calls_state_check
        CHECK (state IN ('received', 'requested', 'dialing', 'ringing', 'connected', 'ended')),
    ADD COLUMN ringing_at timestamptz,
    ADD CHECK (meta_call_id IS NOT NULL OR direction = 'outbound');
COMMENT ON COLUMN whatsapp.calls.meta_call_id IS 'Meta''s id (wacid.…), opaque; null for an outbound call that Meta has not taken';
COMMENT ON COLUMN whatsapp.calls.state IS 'Inbound: received, ringing, connected, ended. Outbound: requested, dialing, ringing, connected, ended';
COMMENT ON COLUMN whatsapp.calls.ringing_at IS 'When the user''s phone (outbound) or the PBX (inbound) rang';

ALTER TABLE pbx.calls
    DROP CONSTRAINT calls_state_check,
    ADD CONSTRAINT calls_state_check
        CHECK (state IN ('received', 'queued', 'requested', 'dialing', 'ringing', 'connected', 'ended')),
    DROP CONSTRAINT calls_status_check,
    ADD CONSTRAINT calls_status_check
        CHECK (status IN ('Answered', 'User Abandon', 'Missed', 'Voicemail', 'Rejected', 'Failed',
                          'Declined', 'No Answer', 'Cancelled')),
    ADD COLUMN refusal text CHECK (refusal ~ '^[a-z_]{1,40}$');
COMMENT ON COLUMN pbx.calls.refusal IS 'Outbound: which rule refused the call before Meta was asked, for programs; reason says it in words';

-- whatsapp_facts wakes the application and the console: "call:<id>:<state>".
CREATE FUNCTION whatsapp.tell_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.direction = 'outbound' AND (TG_OP = 'INSERT' OR NEW.state <> OLD.state) THEN
        PERFORM pg_notify('whatsapp_facts', 'call:' || NEW.id || ':' || NEW.state);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_call AFTER INSERT OR UPDATE OF state ON whatsapp.calls
    FOR EACH ROW EXECUTE FUNCTION whatsapp.tell_call();

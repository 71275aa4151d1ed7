CREATE TABLE whatsapp.numbers (
    phone_number_id text PRIMARY KEY CHECK (phone_number_id ~ '^[0-9]{1,32}$'),
    display_number  text NOT NULL UNIQUE CHECK (display_number ~ '^[0-9]{1,15}$'),
    name            text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE whatsapp.numbers IS 'Business numbers that this system serves. Webhooks of other numbers are ignored.';
COMMENT ON COLUMN whatsapp.numbers.phone_number_id IS 'Meta''s id of the number, as in webhooks and Graph addresses';
COMMENT ON COLUMN whatsapp.numbers.display_number IS 'E.164 digits without +; the extension that is dialled in whatsapp-in';

CREATE TABLE whatsapp.calls (
    id              uuid PRIMARY KEY,
    meta_call_id    text NOT NULL UNIQUE CHECK (length(meta_call_id) <= 512),
    phone_number_id text NOT NULL REFERENCES whatsapp.numbers,
    direction       text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    user_id         text NOT NULL CHECK (length(user_id) <= 128),
    user_number     text CHECK (user_number ~ '^[0-9]{1,15}$'),
    user_name       text CHECK (length(user_name) <= 256),
    payload         text CHECK (length(payload) <= 512),
    state           text NOT NULL DEFAULT 'received'
                    CHECK (state IN ('received', 'ringing', 'connected', 'ended')),
    linkedid        text,
    received_at     timestamptz NOT NULL DEFAULT now(),
    pre_accepted_at timestamptz,
    accepted_at     timestamptz,
    ended_at        timestamptz,
    ended_by        text CHECK (ended_by IN ('user', 'pbx', 'system')),
    hangup_cause    integer,
    reason          text,
    meta_status     text,
    meta_error_code integer,
    meta_error_text text,
    meta_start      timestamptz,
    meta_end        timestamptz,
    meta_duration   integer,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK (ended_by IS NULL OR state = 'ended')
);
CREATE INDEX ON whatsapp.calls (linkedid);
CREATE INDEX ON whatsapp.calls (phone_number_id, received_at);
CREATE INDEX ON whatsapp.calls (received_at) WHERE state <> 'ended';
COMMENT ON TABLE whatsapp.calls IS 'One row per WhatsApp call, as Meta and the bridge see it';
COMMENT ON COLUMN whatsapp.calls.meta_call_id IS 'Meta''s id (wacid.…), opaque';
COMMENT ON COLUMN whatsapp.calls.user_id IS 'The user''s business-scoped id where Meta gives one, else the number';
COMMENT ON COLUMN whatsapp.calls.user_number IS 'E.164 digits without +; null for users who hide their number behind a username';
COMMENT ON COLUMN whatsapp.calls.payload IS 'Payload of the call button or deep link, control characters removed; not to be trusted';
COMMENT ON COLUMN whatsapp.calls.linkedid IS 'Joins this call with Asterisk''s CDRs';
COMMENT ON COLUMN whatsapp.calls.ended_by IS 'Who ended the call: user (at Meta), pbx (Asterisk hung up), system (a failure)';
COMMENT ON COLUMN whatsapp.calls.hangup_cause IS 'Q.850 cause with which the PBX ended the call';
COMMENT ON COLUMN whatsapp.calls.meta_duration IS 'Seconds, as Meta bills them; null if never accepted';

CREATE TABLE whatsapp.webhook_events (
    key          text PRIMARY KEY,
    kind         text NOT NULL,
    meta_call_id text,
    received_at  timestamptz NOT NULL DEFAULT now(),
    body         jsonb NOT NULL
);
CREATE INDEX ON whatsapp.webhook_events (meta_call_id);
CREATE INDEX ON whatsapp.webhook_events (received_at);
COMMENT ON TABLE whatsapp.webhook_events IS 'Every webhook event once; a redelivery finds its key taken';
COMMENT ON COLUMN whatsapp.webhook_events.key IS 'Call id and event, hashed: the same event delivered twice has the same key';
COMMENT ON COLUMN whatsapp.webhook_events.body IS 'The event with its metadata; without message texts of customers';

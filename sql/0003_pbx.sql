CREATE TABLE pbx.agents (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    endpoint   text NOT NULL UNIQUE CHECK (endpoint ~ '^[A-Za-z0-9]+/[A-Za-z0-9_.@+-]{1,120}$'),
    enabled    boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.agents IS 'People who take calls, on endpoints that the PBX already has';
COMMENT ON COLUMN pbx.agents.endpoint IS 'What Asterisk dials, such as PJSIP/1001';

CREATE TABLE pbx.routes (
    number        text PRIMARY KEY CHECK (number ~ '^[0-9]{1,15}$'),
    agent_id      uuid NOT NULL REFERENCES pbx.agents,
    entry_prompt  text NOT NULL DEFAULT 'sound:queue-thankyou',
    no_agent_prompt text NOT NULL DEFAULT 'sound:vm-nobodyavail',
    music_class   text NOT NULL DEFAULT 'default',
    ring_seconds  integer NOT NULL DEFAULT 25 CHECK (ring_seconds BETWEEN 3 AND 300)
);
COMMENT ON TABLE pbx.routes IS 'Where calls to a number go, and what callers hear';
COMMENT ON COLUMN pbx.routes.number IS 'The number called, digits as in the dialplan';
COMMENT ON COLUMN pbx.routes.entry_prompt IS 'Media URI played once to a caller who enters the queue';
COMMENT ON COLUMN pbx.routes.no_agent_prompt IS 'Media URI played when no agent took the call, before hanging up';
COMMENT ON COLUMN pbx.routes.ring_seconds IS 'How long one agent''s phone rings before the call counts as missed, s';

CREATE TABLE pbx.calls (
    id               uuid PRIMARY KEY,
    linkedid         text NOT NULL UNIQUE,
    channel_type     text NOT NULL CHECK (channel_type IN ('WhatsApp Call', 'Voice')),
    direction        text NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    number           text NOT NULL,
    caller_number    text NOT NULL DEFAULT '',
    caller_name      text NOT NULL DEFAULT '',
    whatsapp_call_id text,
    state            text NOT NULL DEFAULT 'received'
                     CHECK (state IN ('received', 'queued', 'ringing', 'connected', 'ended')),
    status           text CHECK (status IN ('Answered', 'User Abandon', 'Missed', 'Voicemail', 'Rejected', 'Failed')),
    ended_by         text CHECK (ended_by IN ('user', 'agent', 'system')),
    reason           text,
    agent_id         uuid REFERENCES pbx.agents,
    received_at      timestamptz NOT NULL DEFAULT now(),
    queued_at        timestamptz,
    connected_at     timestamptz,
    ended_at         timestamptz,
    CHECK ((state = 'ended') = (ended_at IS NOT NULL)),
    CHECK ((state = 'ended') = (status IS NOT NULL))
);
CREATE INDEX ON pbx.calls (received_at);
CREATE INDEX ON pbx.calls (received_at) WHERE state <> 'ended';
COMMENT ON TABLE pbx.calls IS 'One row per call that went through the Stasis application';
COMMENT ON COLUMN pbx.calls.linkedid IS 'Joins this call with Asterisk''s CDRs';
COMMENT ON COLUMN pbx.calls.connected_at IS 'When caller and agent were joined';
COMMENT ON COLUMN pbx.calls.reason IS 'Why it ended as it did, in words for people';

CREATE TABLE pbx.offers (
    id         uuid PRIMARY KEY,
    call_id    uuid NOT NULL REFERENCES pbx.calls ON DELETE CASCADE,
    agent_id   uuid NOT NULL REFERENCES pbx.agents,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    outcome    text CHECK (outcome IN ('answered', 'rejected', 'missed', 'cancelled', 'failed')),
    cause      integer,
    reason     text,
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
);
CREATE INDEX ON pbx.offers (call_id);
CREATE INDEX ON pbx.offers (agent_id, started_at);
COMMENT ON TABLE pbx.offers IS 'Each attempt to ring one agent for one call';
COMMENT ON COLUMN pbx.offers.cause IS 'Q.850 cause of the agent''s channel, where the offer was not answered';

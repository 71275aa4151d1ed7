-- What the contact centre must not forget over a restart, and which application has which calls.

CREATE TABLE pbx.nodes (
    name    text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 128),
    run     uuid NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.nodes IS 'The applications that share this database, one for each Asterisk';
COMMENT ON COLUMN pbx.nodes.run IS 'Its present process: another one with the same name is a successor, or a mistake in the configuration';

ALTER TABLE pbx.calls ADD COLUMN node text NOT NULL DEFAULT '';
CREATE INDEX ON pbx.calls (node) WHERE state <> 'ended';
COMMENT ON COLUMN pbx.calls.node IS 'Which application has the call (pbx.nodes)';

ALTER TABLE pbx.routes
    ADD COLUMN voicemail_longest_seconds integer NOT NULL DEFAULT 180 CHECK (voicemail_longest_seconds BETWEEN 5 AND 1800),
    ADD COLUMN voicemail_silence_seconds integer NOT NULL DEFAULT 5 CHECK (voicemail_silence_seconds BETWEEN 1 AND 60),
    ADD COLUMN voicemail_shortest_seconds integer NOT NULL DEFAULT 2 CHECK (voicemail_shortest_seconds BETWEEN 0 AND 60),
    ADD CHECK (voicemail_shortest_seconds < voicemail_longest_seconds);
COMMENT ON COLUMN pbx.routes.voicemail_longest_seconds IS 'Messages end after so long, s';
COMMENT ON COLUMN pbx.routes.voicemail_silence_seconds IS 'A silence of so long ends a message, s';
COMMENT ON COLUMN pbx.routes.voicemail_shortest_seconds IS 'What is shorter is no message, s';

CREATE TABLE pbx.voicemail_letters (
    voicemail_id uuid PRIMARY KEY REFERENCES pbx.voicemails ON DELETE CASCADE,
    node         text NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz DEFAULT now(),
    error        text CHECK (length(error) <= 500)
);
CREATE INDEX ON pbx.voicemail_letters (node, next_at) WHERE next_at IS NOT NULL;
COMMENT ON TABLE pbx.voicemail_letters IS 'Messages that have to go out by e-mail; a row is removed when its letter has gone';
COMMENT ON COLUMN pbx.voicemail_letters.node IS 'Which application has the file';
COMMENT ON COLUMN pbx.voicemail_letters.next_at IS 'When it is tried again; null: given up';

CREATE TABLE pbx.group_memory (
    group_name        text PRIMARY KEY REFERENCES pbx.groups ON DELETE CASCADE ON UPDATE CASCADE,
    mean_wait_seconds double precision CHECK (mean_wait_seconds >= 0),
    last_agent        uuid REFERENCES pbx.agents ON DELETE SET NULL
);
COMMENT ON TABLE pbx.group_memory IS 'What the queue remembers of a group over a restart';
COMMENT ON COLUMN pbx.group_memory.mean_wait_seconds IS 'How long those waited who were answered, newer ones counting more';
COMMENT ON COLUMN pbx.group_memory.last_agent IS 'Who was asked last: round robin goes on behind';

-- Who may use the console, their sessions, and who changed what. Written by the console and by `asterisk-whatsapp user`.
CREATE SCHEMA console;
COMMENT ON SCHEMA console IS 'Users of the web console, their sessions, and the audit. Written by the console.';

CREATE TABLE console.users (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    login               text NOT NULL UNIQUE CHECK (login ~ '^[a-z0-9][a-z0-9._@+-]{0,63}$'),
    name                text NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
    role                text NOT NULL CHECK (role IN ('administrator', 'supervisor', 'agent', 'reporting')),
    password_hash       text NOT NULL,
    password_changed_at timestamptz NOT NULL DEFAULT now(),
    must_change         boolean NOT NULL DEFAULT false,
    agent_id            uuid UNIQUE REFERENCES pbx.agents ON DELETE SET NULL,
    enabled             boolean NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    signed_in_at        timestamptz
);
COMMENT ON TABLE console.users IS 'People who may sign in to the console';
COMMENT ON COLUMN console.users.login IS 'Lower case; what is typed is folded before it is looked for';
COMMENT ON COLUMN console.users.password_hash IS 'argon2id, with its parameters (PHC string)';
COMMENT ON COLUMN console.users.must_change IS 'The password was given by somebody else: to be changed at the next sign-in';
COMMENT ON COLUMN console.users.agent_id IS 'Whose calls and whose phone these are; a user without one has no desk';

CREATE TABLE console.user_groups (
    user_id    uuid NOT NULL REFERENCES console.users ON DELETE CASCADE,
    group_name text NOT NULL REFERENCES pbx.groups ON UPDATE CASCADE ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_name)
);
COMMENT ON TABLE console.user_groups IS 'The groups of a supervisor: what they see and steer';

CREATE TABLE console.sessions (
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id    uuid NOT NULL REFERENCES console.users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    address    text NOT NULL,
    browser    text NOT NULL CHECK (length(browser) <= 256)
);
CREATE INDEX ON console.sessions (user_id);
CREATE INDEX ON console.sessions (seen_at);
COMMENT ON TABLE console.sessions IS 'Who is signed in. A session ends by idleness, by age, by sign-out, and with a changed password';
COMMENT ON COLUMN console.sessions.token_hash IS 'SHA-256 of the cookie: who reads this table can be nobody';

CREATE TABLE console.sign_in_attempts (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login   text NOT NULL CHECK (length(login) <= 64),
    address text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON console.sign_in_attempts (login, at);
CREATE INDEX ON console.sign_in_attempts (address, at);
COMMENT ON TABLE console.sign_in_attempts IS 'Attempts that failed or are not judged yet; they limit further ones';

CREATE TABLE console.audit (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT now(),
    user_id uuid,
    actor   text NOT NULL CHECK (length(actor) BETWEEN 1 AND 128),
    address text,
    action  text NOT NULL CHECK (action ~ '^[a-z_]{1,40}$'),
    kind    text NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    subject text NOT NULL CHECK (length(subject) <= 300),
    before  jsonb,
    after   jsonb
);
CREATE INDEX ON console.audit (at, id);
CREATE INDEX ON console.audit (kind, subject, at);
CREATE INDEX ON console.audit (user_id, at);
COMMENT ON TABLE console.audit IS 'Who changed what. Rows are only ever added';
COMMENT ON COLUMN console.audit.user_id IS 'Null for a command on the machine. No reference: the row outlives the user';
COMMENT ON COLUMN console.audit.actor IS 'Login of the user, or the name of the command';
COMMENT ON COLUMN console.audit.action IS 'added, changed, removed, sign_in, …';
COMMENT ON COLUMN console.audit.kind IS 'What was changed: number, group, agent, menu, schedule, prompt, user, …';
COMMENT ON COLUMN console.audit.before IS 'Only the settings that changed; never a secret';

CREATE FUNCTION console.audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only ever added to' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON console.audit
    FOR EACH ROW EXECUTE FUNCTION console.audit_is_append_only();
CREATE TRIGGER append_only_all BEFORE TRUNCATE ON console.audit
    FOR EACH STATEMENT EXECUTE FUNCTION console.audit_is_append_only();

-- What Asterisk found when it asked the customers' SIP targets by OPTIONS. Written by the application, read by people.
CREATE TABLE pbx.sip_target_health (
    host       text NOT NULL,
    port       integer NOT NULL,
    transport  text NOT NULL,
    state      text NOT NULL CHECK (state IN ('reachable', 'unreachable', 'unknown')),
    since      timestamptz NOT NULL DEFAULT now(),
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (host, port, transport)
);
COMMENT ON TABLE pbx.sip_target_health IS 'Which SIP targets answer; targets of several numbers with one address share a row';
COMMENT ON COLUMN pbx.sip_target_health.checked_at IS 'When the application looked last; old when no application runs';

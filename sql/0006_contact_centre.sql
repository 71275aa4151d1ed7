-- The contact centre: agents in groups, where calls go, what callers hear. Read anew for every call.

-- Where a caller goes next:
--   group:<name>  menu:<name>  voicemail  voicemail:<group>  sip  ai_agent  dialplan:<context>,<extension>
--   hangup  hangup:<media>      (<media> is played first)
CREATE DOMAIN pbx.destination AS text CHECK (
    VALUE ~ '^(group|menu):[^\x01-\x1f]{1,64}$' OR VALUE ~ '^voicemail(:[^\x01-\x1f]{1,64})?$' OR VALUE IN ('sip', 'ai_agent', 'hangup')
    OR VALUE ~ '^dialplan:[A-Za-z0-9_-]{1,79},[A-Za-z0-9_*#+-]{1,79}$' OR VALUE ~ '^hangup:(sound|prompt):.{1,200}$');
-- What is played: a sound of Asterisk (sound:vm-goodbye) or of our own catalogue (prompt:<name>).
CREATE DOMAIN pbx.media AS text CHECK (VALUE ~ '^(sound|prompt):[A-Za-z0-9_/&.-]{1,200}$');

ALTER TABLE pbx.agents
    ADD COLUMN extension text UNIQUE CHECK (extension ~ '^[0-9]{1,20}$'),
    ADD COLUMN voip_only boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.agents.extension IS 'Dialled directly in menus, and by which a phone logs in';
COMMENT ON COLUMN pbx.agents.voip_only IS 'No telephone network behind this endpoint; WhatsApp calls may go to no other';

CREATE TABLE pbx.agent_states (
    agent_id        uuid PRIMARY KEY REFERENCES pbx.agents ON DELETE CASCADE,
    logged_in       boolean NOT NULL DEFAULT true,
    pause_reason    text CHECK (length(pause_reason) <= 128),
    call_id         uuid,
    reserved_at     timestamptz,
    idle_since      timestamptz NOT NULL DEFAULT now(),
    available_after timestamptz,
    misses          integer NOT NULL DEFAULT 0,
    CHECK ((call_id IS NULL) = (reserved_at IS NULL))
);
COMMENT ON TABLE pbx.agent_states IS 'How each agent stands just now; the row is locked to reserve the agent';
COMMENT ON COLUMN pbx.agent_states.pause_reason IS 'Not null while paused';
COMMENT ON COLUMN pbx.agent_states.call_id IS 'The call that is offered to the agent or talks to the agent';
COMMENT ON COLUMN pbx.agent_states.available_after IS 'End of wrap-up';
COMMENT ON COLUMN pbx.agent_states.misses IS 'Offers missed in a row';

CREATE FUNCTION pbx.give_agent_a_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pbx.agent_states (agent_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
INSERT INTO pbx.agent_states (agent_id) SELECT id FROM pbx.agents;
CREATE TRIGGER give_agent_a_state AFTER INSERT ON pbx.agents FOR EACH ROW EXECUTE FUNCTION pbx.give_agent_a_state();

CREATE TABLE pbx.prompts (
    name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    file        text NOT NULL,
    seconds     numeric(8, 2) NOT NULL CHECK (seconds > 0),
    spoken_text text,
    sha256      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.prompts IS 'Prompts of our own, beside those that Asterisk brings';
COMMENT ON COLUMN pbx.prompts.file IS 'Path without extension, as Asterisk wants it';
COMMENT ON COLUMN pbx.prompts.spoken_text IS 'The text it was made of by speech synthesis; null for an uploaded file';

CREATE TABLE pbx.schedules (
    name      text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    time_zone text NOT NULL
);
CREATE TABLE pbx.schedule_hours (
    schedule text NOT NULL REFERENCES pbx.schedules ON DELETE CASCADE ON UPDATE CASCADE,
    weekday  integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    opens    time NOT NULL,
    closes   time NOT NULL CHECK (closes > opens),
    PRIMARY KEY (schedule, weekday, opens)
);
CREATE TABLE pbx.holidays (
    schedule text NOT NULL REFERENCES pbx.schedules ON DELETE CASCADE ON UPDATE CASCADE,
    day      date NOT NULL,
    opens    time,
    closes   time,
    PRIMARY KEY (schedule, day),
    CHECK ((opens IS NULL) = (closes IS NULL) AND (closes IS NULL OR closes > opens))
);
COMMENT ON TABLE pbx.schedule_hours IS 'Opening hours, local time of the schedule; 1 is Monday; at most two a day; 24:00 is the end of the day';
COMMENT ON TABLE pbx.holidays IS 'Days that are not as their weekday: closed, or open at other hours';

CREATE TABLE pbx.groups (
    name              text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    strategy          text NOT NULL DEFAULT 'longest_idle'
                      CHECK (strategy IN ('ring_all', 'longest_idle', 'fewest_calls', 'round_robin', 'random', 'linear')),
    ring_seconds      integer NOT NULL DEFAULT 20 CHECK (ring_seconds BETWEEN 3 AND 300),
    wrap_up_seconds   integer NOT NULL DEFAULT 5 CHECK (wrap_up_seconds BETWEEN 0 AND 3600),
    cool_down_seconds integer NOT NULL DEFAULT 60 CHECK (cool_down_seconds BETWEEN 0 AND 3600),
    max_wait_seconds  integer NOT NULL DEFAULT 300 CHECK (max_wait_seconds BETWEEN 5 AND 86400),
    max_waiting       integer NOT NULL DEFAULT 100 CHECK (max_waiting BETWEEN 1 AND 10000),
    auto_pause_misses integer CHECK (auto_pause_misses BETWEEN 1 AND 100),
    join_empty        text NOT NULL DEFAULT 'logged_in' CHECK (join_empty IN ('always', 'logged_in', 'available')),
    leave_empty       text NOT NULL DEFAULT 'logged_in' CHECK (leave_empty IN ('never', 'logged_in', 'available')),
    service_level_seconds integer NOT NULL DEFAULT 20 CHECK (service_level_seconds BETWEEN 1 AND 3600),
    no_agent          pbx.destination NOT NULL DEFAULT 'hangup:sound:vm-nobodyavail',
    music_class       text NOT NULL DEFAULT 'default',
    waiting_interval_seconds integer NOT NULL DEFAULT 45 CHECK (waiting_interval_seconds BETWEEN 10 AND 3600),
    announce_position boolean NOT NULL DEFAULT false,
    announce_wait     boolean NOT NULL DEFAULT false,
    exit_digit        text CHECK (exit_digit ~ '^[0-9*#]$'),
    exit_to           pbx.destination,
    whisper           pbx.media,
    voicemail_mailbox text CHECK (voicemail_mailbox ~ '^[A-Za-z0-9_.-]{1,64}@[A-Za-z0-9_.-]{1,64}$'),
    CHECK ((exit_digit IS NULL) = (exit_to IS NULL))
);
COMMENT ON TABLE pbx.groups IS 'Agents who take calls together';
COMMENT ON COLUMN pbx.groups.ring_seconds IS 'How long one phone rings before the offer counts as missed, s';
COMMENT ON COLUMN pbx.groups.cool_down_seconds IS 'How long an agent who refused a call is not rung again for it, s';
COMMENT ON COLUMN pbx.groups.auto_pause_misses IS 'Pause an agent after so many misses in a row; null: never';
COMMENT ON COLUMN pbx.groups.join_empty IS 'Who may join: always; while somebody is logged in; only while somebody is also reachable and not paused';
COMMENT ON COLUMN pbx.groups.leave_empty IS 'When the waiting are sent on: when all were asked in vain (never sooner); when nobody is logged in; when nobody is reachable and not paused';
COMMENT ON COLUMN pbx.groups.no_agent IS 'Where callers go when all refused, nobody is there, or the longest wait is over';
COMMENT ON COLUMN pbx.groups.whisper IS 'What the agent hears before the caller is joined';
COMMENT ON COLUMN pbx.groups.voicemail_mailbox IS 'Message-waiting indication, as the group''s phones subscribe to it';

CREATE TABLE pbx.group_members (
    group_name text NOT NULL REFERENCES pbx.groups ON DELETE CASCADE ON UPDATE CASCADE,
    agent_id   uuid NOT NULL REFERENCES pbx.agents ON DELETE CASCADE,
    priority   integer NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 100),
    PRIMARY KEY (group_name, agent_id)
);
COMMENT ON COLUMN pbx.group_members.priority IS '1 is asked first; others only when nobody of a lower number is free';

CREATE TABLE pbx.menus (
    name            text PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    prompt          pbx.media NOT NULL,
    invalid_prompt  pbx.media NOT NULL DEFAULT 'sound:pbx-invalid',
    timeout_seconds integer NOT NULL DEFAULT 5 CHECK (timeout_seconds BETWEEN 1 AND 60),
    digit_seconds   integer NOT NULL DEFAULT 2 CHECK (digit_seconds BETWEEN 1 AND 20),
    retries         integer NOT NULL DEFAULT 2 CHECK (retries BETWEEN 0 AND 10),
    language        text CHECK (language ~ '^[a-z]{2}(_[A-Z]{2})?$'),
    direct_dial     boolean NOT NULL DEFAULT false,
    schedule        text REFERENCES pbx.schedules ON UPDATE CASCADE,
    closed          pbx.destination,
    no_input        pbx.destination NOT NULL DEFAULT 'hangup:sound:vm-goodbye',
    CHECK ((schedule IS NULL) = (closed IS NULL))
);
CREATE TABLE pbx.menu_options (
    menu        text NOT NULL REFERENCES pbx.menus ON DELETE CASCADE ON UPDATE CASCADE,
    digits      text NOT NULL CHECK (digits ~ '^[0-9*#]{1,8}$'),
    destination text NOT NULL CHECK (destination = 'back' OR destination::pbx.destination IS NOT NULL),
    PRIMARY KEY (menu, digits)
);
COMMENT ON COLUMN pbx.menus.no_input IS 'Where callers go who press nothing, or nothing right, after the retries';
COMMENT ON COLUMN pbx.menu_options.destination IS 'A destination, or back: to the menu this one was entered from';

-- From one agent a number to groups, a menu, or an AI agent.
ALTER TABLE pbx.routes
    ADD COLUMN incoming         text NOT NULL DEFAULT 'agent_group' CHECK (incoming IN ('agent_group', 'ivr', 'ai_agent')),
    ADD COLUMN menu             text REFERENCES pbx.menus ON UPDATE CASCADE,
    ADD COLUMN groups_together  boolean NOT NULL DEFAULT false,
    ADD COLUMN handled_by_sip   boolean NOT NULL DEFAULT false,
    ADD COLUMN calling_enabled  boolean NOT NULL DEFAULT true,
    ADD COLUMN schedule         text REFERENCES pbx.schedules ON UPDATE CASCADE,
    ADD COLUMN max_calls        integer CHECK (max_calls BETWEEN 1 AND 1000),
    ADD COLUMN priority         integer NOT NULL DEFAULT 10 CHECK (priority BETWEEN 1 AND 100),
    ADD COLUMN waiting_prompt   pbx.media,
    ADD COLUMN voicemail_prompt pbx.media NOT NULL DEFAULT 'sound:vm-intro',
    ADD COLUMN consent_prompt   pbx.media,
    ADD COLUMN recording        boolean NOT NULL DEFAULT true,
    ADD COLUMN recording_days   integer CHECK (recording_days BETWEEN 1 AND 36500),
    ADD CHECK ((incoming = 'ivr') = (menu IS NOT NULL));
CREATE TABLE pbx.route_groups (
    number     text NOT NULL REFERENCES pbx.routes ON DELETE CASCADE ON UPDATE CASCADE,
    position   integer NOT NULL CHECK (position BETWEEN 1 AND 100),
    group_name text NOT NULL REFERENCES pbx.groups ON UPDATE CASCADE,
    PRIMARY KEY (number, position),
    UNIQUE (number, group_name)
);
INSERT INTO pbx.groups (name, ring_seconds, music_class, no_agent, join_empty, leave_empty)
SELECT number, ring_seconds, music_class, 'hangup:' || no_agent_prompt, 'always', 'never' FROM pbx.routes;
INSERT INTO pbx.group_members (group_name, agent_id) SELECT number, agent_id FROM pbx.routes;
INSERT INTO pbx.route_groups (number, position, group_name) SELECT number, 1, number FROM pbx.routes;
ALTER TABLE pbx.routes
    DROP COLUMN agent_id, DROP COLUMN no_agent_prompt, DROP COLUMN music_class, DROP COLUMN ring_seconds,
    ALTER COLUMN entry_prompt TYPE pbx.media;
COMMENT ON COLUMN pbx.routes.groups_together IS 'Several groups: all at once, or one after the other in their order';
COMMENT ON COLUMN pbx.routes.handled_by_sip IS 'The customer''s own SIP system handles calls of this kind: they go to the SIP targets';
COMMENT ON COLUMN pbx.routes.priority IS '1 is served first, before callers of higher numbers who came earlier';
COMMENT ON COLUMN pbx.routes.recording_days IS 'Recordings are deleted after so many days; null: never';

CREATE TABLE pbx.sip_targets (
    number     text NOT NULL REFERENCES pbx.routes ON DELETE CASCADE ON UPDATE CASCADE,
    host       text NOT NULL CHECK (host ~ '^[A-Za-z0-9.:-]{1,253}$' AND host = lower(host)),
    port       integer NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),
    transport  text NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp', 'tls')),
    incoming   text NOT NULL CHECK (incoming IN ('agent_group', 'ivr', 'ai_agent')),
    priority   integer NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 100),
    weight     integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 100),
    max_calls  integer CHECK (max_calls BETWEEN 1 AND 1000),
    voip_only  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (number, host, port)
);
CREATE FUNCTION pbx.at_most_five_sip_targets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM pbx.routes WHERE number = NEW.number FOR UPDATE;
    IF (SELECT count(*) FROM pbx.sip_targets WHERE number = NEW.number) > 5 THEN
        RAISE EXCEPTION 'number % has 5 SIP targets already; remove one before adding %:%', NEW.number, NEW.host, NEW.port
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER at_most_five_sip_targets AFTER INSERT OR UPDATE OF number ON pbx.sip_targets
    FOR EACH ROW EXECUTE FUNCTION pbx.at_most_five_sip_targets();
CREATE FUNCTION pbx.at_most_two_intervals() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM pbx.schedule_hours WHERE schedule = NEW.schedule AND weekday = NEW.weekday) > 2 THEN
        RAISE EXCEPTION 'schedule % has two intervals on weekday % already', NEW.schedule, NEW.weekday
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER at_most_two_intervals AFTER INSERT OR UPDATE ON pbx.schedule_hours
    FOR EACH ROW EXECUTE FUNCTION pbx.at_most_two_intervals();

-- The queue: who waits, for which groups, since when. A row is a place; it is kept through refusals and misses.
CREATE TABLE pbx.waiting (
    call_id    uuid PRIMARY KEY REFERENCES pbx.calls ON DELETE CASCADE,
    group_name text NOT NULL,
    priority   integer NOT NULL,
    joined_at  timestamptz NOT NULL
);
CREATE INDEX ON pbx.waiting (group_name, priority, joined_at);

ALTER TABLE pbx.calls ADD COLUMN path text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN pbx.calls.path IS 'Where the caller went, in order: destinations, and digits pressed in menus';
ALTER TABLE pbx.offers ADD COLUMN group_name text;

CREATE TABLE pbx.recordings (
    id         uuid PRIMARY KEY,
    call_id    uuid NOT NULL REFERENCES pbx.calls ON DELETE CASCADE,
    file       text NOT NULL,
    seconds    numeric(10, 2),
    started_at timestamptz NOT NULL,
    expires_at timestamptz,
    deleted_at timestamptz,
    fault      text
);
CREATE INDEX ON pbx.recordings (call_id);
CREATE INDEX ON pbx.recordings (expires_at) WHERE deleted_at IS NULL;
COMMENT ON COLUMN pbx.recordings.fault IS 'Why the recording is incomplete or missing';

CREATE TABLE pbx.voicemails (
    id         uuid PRIMARY KEY,
    call_id    uuid NOT NULL REFERENCES pbx.calls ON DELETE CASCADE,
    number     text NOT NULL,
    group_name text,
    file       text NOT NULL,
    seconds    numeric(8, 2) NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    heard_at   timestamptz
);
CREATE INDEX ON pbx.voicemails (group_name) WHERE heard_at IS NULL;

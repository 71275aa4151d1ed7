-- What a number should be like at Meta, and what Meta reports. What is wanted is the number's route and schedule: one
-- source of truth for the PBX and for Meta. The bridge brings Meta in line and writes down what it sees.
--   whatsapp_wanted  wakes the bridge:                   "settings:<phone_number_id>"
--   whatsapp_facts   wakes the application and console:  "settings:<phone_number_id>"

ALTER TABLE pbx.routes
    ALTER COLUMN calling_enabled SET DEFAULT false,
    ADD COLUMN call_icon           boolean NOT NULL DEFAULT false,
    ADD COLUMN callback_permission boolean NOT NULL DEFAULT false,
    ADD COLUMN on_drift            text NOT NULL DEFAULT 'show' CHECK (on_drift IN ('show', 'reapply', 'adopt'));
COMMENT ON COLUMN pbx.routes.calling_enabled IS 'WhatsApp users may call the number, here and at Meta; means nothing for voice calls';
COMMENT ON COLUMN pbx.routes.call_icon IS 'WhatsApp shows its call icon; users can call without it too';
COMMENT ON COLUMN pbx.routes.callback_permission IS 'Users who call are asked to allow calls back';
COMMENT ON COLUMN pbx.routes.on_drift IS 'When Meta''s settings were changed elsewhere: show it, apply ours again, or adopt Meta''s';

CREATE TABLE whatsapp.number_settings (
    phone_number_id     text PRIMARY KEY REFERENCES whatsapp.numbers ON DELETE CASCADE,
    observed            jsonb,
    calling_status      text GENERATED ALWAYS AS (observed ->> 'status') STORED,
    call_icon           text GENERATED ALWAYS AS (observed ->> 'call_icon_visibility') STORED,
    callback_permission text GENERATED ALWAYS AS (observed ->> 'callback_permission_status') STORED,
    hours_status        text GENERATED ALWAYS AS (observed #>> '{call_hours,status}') STORED,
    observed_at         timestamptz,
    applied             jsonb,
    applied_at          timestamptz,
    policy              text,
    drift               jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(drift) = 'array'),
    error_code          integer,
    error_text          text,
    error_at            timestamptz,
    failures            integer NOT NULL DEFAULT 0,
    failed              jsonb,
    retry_at            timestamptz,
    restrictions        jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(restrictions) = 'array'),
    notices             jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(notices) = 'array'),
    button_hidden_at    timestamptz,
    reconcile_wanted_at timestamptz,
    updated_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE whatsapp.number_settings IS 'Calling settings of a number as Meta reports them, beside what the bridge made of them';
COMMENT ON COLUMN whatsapp.number_settings.observed IS 'The object calling of Meta''s reply, without credentials';
COMMENT ON COLUMN whatsapp.number_settings.calling_status IS 'In Meta''s words: ENABLED, DISABLED, NOT_SET, or one that is new';
COMMENT ON COLUMN whatsapp.number_settings.applied IS 'The wish that was acted on last: another wish is a change, another observation is drift';
COMMENT ON COLUMN whatsapp.number_settings.applied_at IS 'When Meta was last found or brought in line';
COMMENT ON COLUMN whatsapp.number_settings.policy IS 'The route''s on_drift that was acted on last';
COMMENT ON COLUMN whatsapp.number_settings.drift IS 'What was changed elsewhere: [{"field", "wanted", "observed"}]';
COMMENT ON COLUMN whatsapp.number_settings.error_text IS 'Why Meta is not in line, in Meta''s words or ours; null when it is';
COMMENT ON COLUMN whatsapp.number_settings.failed IS 'With which wish it failed: a changed wish is tried at once, the same one at retry_at';
COMMENT ON COLUMN whatsapp.number_settings.restrictions IS 'What Meta does not allow: [{"type", "reason", "expires_at"}]; look at whatsapp.restrictions for those in force';
COMMENT ON COLUMN whatsapp.number_settings.notices IS 'Meta''s warnings of low quality or a low pick-up rate, the newest of each type: [{"type", "text", "at"}]';
COMMENT ON COLUMN whatsapp.number_settings.button_hidden_at IS 'Meta has hidden the call button because too few calls were taken; it is shown again by hand in WhatsApp Manager';
COMMENT ON COLUMN whatsapp.number_settings.reconcile_wanted_at IS 'Somebody wants Meta to be asked now; null when nobody does';

CREATE VIEW whatsapp.restrictions AS
SELECT s.phone_number_id,
       n.display_number,
       r.type,
       r.reason,
       r.expires_at
  FROM whatsapp.number_settings s
  JOIN whatsapp.numbers n USING (phone_number_id),
       jsonb_to_recordset(s.restrictions) AS r(type text, reason text, expires_at timestamptz)
 WHERE r.expires_at IS NULL OR r.expires_at > now();
COMMENT ON VIEW whatsapp.restrictions IS 'What Meta does not allow just now, in Meta''s words';

-- Meta's hours are local times, as ours are. Meta knows no 24:00, so a day ends at 23:59. A holiday of Meta's is a day
-- with other opening hours; a day that is closed has the one minute that nobody calls in, and the PBX refuses that, too.
CREATE VIEW whatsapp.wanted_settings AS
SELECT n.phone_number_id,
       n.display_number,
       r.on_drift,
       r.schedule,
       s.time_zone,
       jsonb_build_object(
           'status', CASE WHEN r.calling_enabled THEN 'ENABLED' ELSE 'DISABLED' END,
           'call_icon_visibility', CASE WHEN r.call_icon THEN 'DEFAULT' ELSE 'DISABLE_ALL' END,
           'callback_permission_status', CASE WHEN r.callback_permission THEN 'ENABLED' ELSE 'DISABLED' END,
           'call_hours', CASE WHEN s.name IS NULL THEN jsonb_build_object('status', 'DISABLED') ELSE jsonb_build_object(
               'status', 'ENABLED',
               'timezone_id', s.time_zone,
               'weekly_operating_hours', coalesce(
                   (SELECT jsonb_agg(jsonb_build_object(
                               'day_of_week', (ARRAY['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY',
                                                     'SUNDAY'])[h.weekday],
                               'open_time', to_char(h.opens, 'HH24MI'),
                               'close_time', CASE h.closes WHEN '24:00' THEN '2359' ELSE to_char(h.closes, 'HH24MI') END)
                           ORDER BY h.weekday, h.opens)
                      FROM pbx.schedule_hours h WHERE h.schedule = s.name), '[]'),
               'holiday_schedule', coalesce(
                   (SELECT jsonb_agg(jsonb_build_object(
                               'date', to_char(d.day, 'YYYY-MM-DD'),
                               'start_time', coalesce(to_char(d.opens, 'HH24MI'), '0000'),
                               'end_time', CASE WHEN d.closes IS NULL THEN '0001'
                                                WHEN d.closes = '24:00' THEN '2359' ELSE to_char(d.closes, 'HH24MI') END)
                           ORDER BY d.day)
                      FROM pbx.holidays d WHERE d.schedule = s.name), '[]')) END) AS calling
  FROM whatsapp.numbers n
  JOIN pbx.routes r ON r.number = n.display_number
  LEFT JOIN pbx.schedules s ON s.name = r.schedule;
COMMENT ON VIEW whatsapp.wanted_settings IS 'What Meta should have, in Meta''s words; past holidays are left out by the bridge';

-- Take over what Meta has, field by field in Meta's words. Hours go into a schedule of the number's own: the one it has,
-- if nobody else uses it, else a new one.
CREATE FUNCTION whatsapp.adopt_settings(wanted_id text, fields jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    own    text := (SELECT display_number FROM whatsapp.numbers WHERE phone_number_id = wanted_id);
    hours  jsonb := fields -> 'call_hours';
    target text := (SELECT schedule FROM pbx.routes WHERE number = own);
BEGIN
    UPDATE pbx.routes
       SET calling_enabled     = CASE WHEN fields ? 'status' THEN fields ->> 'status' = 'ENABLED' ELSE calling_enabled END,
           call_icon           = CASE WHEN fields ? 'call_icon_visibility'
                                      THEN fields ->> 'call_icon_visibility' <> 'DISABLE_ALL' ELSE call_icon END,
           callback_permission = CASE WHEN fields ? 'callback_permission_status'
                                      THEN fields ->> 'callback_permission_status' = 'ENABLED' ELSE callback_permission END
     WHERE number = own;
    IF hours IS NULL THEN
        RETURN;
    END IF;
    IF hours ->> 'status' <> 'ENABLED' THEN
        UPDATE pbx.routes SET schedule = NULL WHERE number = own;
        RETURN;
    END IF;
    IF target IS NULL OR EXISTS (SELECT FROM pbx.routes WHERE schedule = target AND number <> own)
                      OR EXISTS (SELECT FROM pbx.menus WHERE schedule = target) THEN
        target := 'Meta ' || own;
    END IF;
    INSERT INTO pbx.schedules (name, time_zone) VALUES (target, hours ->> 'timezone_id')
        ON CONFLICT (name) DO UPDATE SET time_zone = EXCLUDED.time_zone;
    DELETE FROM pbx.schedule_hours WHERE schedule = target;
    INSERT INTO pbx.schedule_hours (schedule, weekday, opens, closes)
    SELECT target,
           array_position(ARRAY['MONDAY', 'TUESDAY', 'WEDNESDAY', 'THURSDAY', 'FRIDAY', 'SATURDAY', 'SUNDAY'],
                          h.day_of_week),
           (left(h.open_time, 2) || ':' || right(h.open_time, 2))::time,
           CASE h.close_time WHEN '2359' THEN '24:00' ELSE (left(h.close_time, 2) || ':' || right(h.close_time, 2))::time END
      FROM jsonb_to_recordset(hours -> 'weekly_operating_hours') AS h(day_of_week text, open_time text, close_time text);
    -- Of ours, Meta knows the next 20 at most: later ones stay.
    DELETE FROM pbx.holidays
     WHERE schedule = target AND day >= (now() AT TIME ZONE (hours ->> 'timezone_id'))::date
       AND (jsonb_array_length(hours -> 'holiday_schedule') < 20
            OR day <= (SELECT max(d.date) FROM jsonb_to_recordset(hours -> 'holiday_schedule') AS d(date date)));
    INSERT INTO pbx.holidays (schedule, day, opens, closes)
    SELECT target,
           d.date,
           CASE WHEN closed THEN NULL ELSE (left(d.start_time, 2) || ':' || right(d.start_time, 2))::time END,
           CASE WHEN closed THEN NULL WHEN d.end_time = '2359' THEN '24:00' ELSE (left(d.end_time, 2) || ':' || right(d.end_time, 2))::time END
      FROM jsonb_to_recordset(hours -> 'holiday_schedule') AS d(date date, start_time text, end_time text),
           LATERAL (SELECT (d.start_time, d.end_time) = ('0000', '0001') AS closed) AS c
        ON CONFLICT (schedule, day) DO UPDATE SET opens = EXCLUDED.opens, closes = EXCLUDED.closes;
    UPDATE pbx.routes SET schedule = target WHERE number = own;
END $$;

CREATE FUNCTION whatsapp.want_settings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    PERFORM pg_notify('whatsapp_wanted', 'settings:' || n.phone_number_id)
       FROM whatsapp.numbers n LEFT JOIN pbx.routes r ON r.number = n.display_number
      WHERE CASE TG_ARGV[0] WHEN 'number' THEN n.display_number = changed ->> TG_ARGV[1]
                            ELSE r.schedule = changed ->> TG_ARGV[1] END;
    RETURN NULL;
END $$;
CREATE TRIGGER want_settings AFTER INSERT ON pbx.routes
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('number', 'number');
CREATE TRIGGER want_changed_settings
    AFTER UPDATE OF number, calling_enabled, call_icon, callback_permission, schedule, on_drift ON pbx.routes
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('number', 'number');
CREATE TRIGGER want_settings AFTER INSERT OR UPDATE ON whatsapp.numbers
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('number', 'display_number');
CREATE TRIGGER want_settings AFTER UPDATE ON pbx.schedules
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('schedule', 'name');
CREATE TRIGGER want_settings AFTER INSERT OR UPDATE OR DELETE ON pbx.schedule_hours
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('schedule', 'schedule');
CREATE TRIGGER want_settings AFTER INSERT OR UPDATE OR DELETE ON pbx.holidays
    FOR EACH ROW EXECUTE FUNCTION whatsapp.want_settings('schedule', 'schedule');

CREATE FUNCTION whatsapp.tell_settings() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reconcile_wanted_at IS NOT NULL
       AND (TG_OP = 'INSERT' OR NEW.reconcile_wanted_at IS DISTINCT FROM OLD.reconcile_wanted_at) THEN
        PERFORM pg_notify('whatsapp_wanted', 'settings:' || NEW.phone_number_id);
    ELSE
        PERFORM pg_notify('whatsapp_facts', 'settings:' || NEW.phone_number_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_settings AFTER INSERT OR UPDATE ON whatsapp.number_settings
    FOR EACH ROW EXECUTE FUNCTION whatsapp.tell_settings();

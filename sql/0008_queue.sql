-- Tells the applications that agents or groups changed, so that the next decision knows it.
CREATE FUNCTION pbx.tell_queue() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    PERFORM pg_notify('pbx_queue', TG_ARGV[0] || ':' || coalesce(changed ->> TG_ARGV[1], ''));
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) ->> TG_ARGV[1] IS DISTINCT FROM changed ->> TG_ARGV[1] THEN
        PERFORM pg_notify('pbx_queue', TG_ARGV[0] || ':' || coalesce(to_jsonb(OLD) ->> TG_ARGV[1], ''));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tell_queue AFTER INSERT OR UPDATE OR DELETE ON pbx.agents
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_queue('agent', 'id');
CREATE TRIGGER tell_queue AFTER UPDATE ON pbx.agent_states
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_queue('agent', 'agent_id');
CREATE TRIGGER tell_queue AFTER INSERT OR UPDATE OR DELETE ON pbx.group_members
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_queue('agent', 'agent_id');
CREATE TRIGGER tell_queue AFTER INSERT OR UPDATE ON pbx.groups
    FOR EACH ROW EXECUTE FUNCTION pbx.tell_queue('group', 'name');

CREATE INDEX ON pbx.agent_states (call_id) WHERE call_id IS NOT NULL;

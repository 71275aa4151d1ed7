CREATE FUNCTION reports.hh_mm_ss(seconds bigint) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN lpad((seconds / 3600)::text, 2, '0') || ':' || lpad((seconds / 60 % 60)::text, 2, '0')
           || ':' || lpad((seconds % 60)::text, 2, '0');
COMMENT ON FUNCTION reports.hh_mm_ss IS 'Seconds as HH:MM:SS';
